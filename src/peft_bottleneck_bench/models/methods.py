"""The methods that the harness knows by heart: the three adapters of the plugin and what they are compared with.

Every other method of PEFT goes by its name in PEFT's registry, with PEFT's own defaults; a row here adds defaults.
Nothing in this module imports torch, so that listing the methods is instant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Method:
    """One row of the table.

    Args:
        summary: what is trained, in a few words.
        by_peft: whether PEFT has a configuration class of the method's name; its fields are the method's options.
        defaults: options that differ from that class's own.
        select: for methods that PEFT does not have: whether a base parameter is trained, by its name and the module
            that holds it.
        head: whether the task head is trained along.
        learning_rate: where the run configuration gives none.
    """

    summary: str
    by_peft: bool = True
    defaults: Mapping[str, Any] = field(default_factory=dict)
    select: Callable[[str, nn.Module], bool] | None = None
    head: bool = True
    learning_rate: float = 1e-3

    @property
    def trains(self) -> bool:
        """Whether the method trains anything that settings could make better or worse."""
        return self.by_peft or self.head


METHODS: Mapping[str, Method] = {
    "houlsby": Method(summary="bottlenecks after attention and feed-forward network (Houlsby et al. 2019)"),
    "pfeiffer": Method(
        summary="one bottleneck per block, after the feed-forward network (Pfeiffer et al. 2021)",
    ),
    "parallel_adapter": Method(summary="bottleneck beside the feed-forward network (He et al. 2022)"),
    "lora": Method(summary="low-rank updates of the attention projections (Hu et al. 2022)"),
    "ia3": Method(
        summary="learned scales of keys, values and feed-forward states (Liu et al. 2022)",
        learning_rate=5e-3,
    ),
    "prefix_tuning": Method(
        summary="learned keys and values before every layer's own (Li and Liang 2021)",
        defaults={"num_virtual_tokens": 20},
        learning_rate=5e-3,
    ),
    "bias_tuning": Method(
        summary="the biases of the base (BitFit, Ben Zaken et al. 2022)",
        by_peft=False,
        select=lambda name, module: name.endswith("bias"),
    ),
    "norm_tuning": Method(
        summary="the normalisation layers of the base (Zhao et al. 2024)",
        by_peft=False,
        select=lambda name, module: "norm" in type(module).__name__.lower(),
    ),
    "full": Method(summary="all parameters", by_peft=False, select=lambda name, module: True, learning_rate=1e-4),
    "head_only": Method(
        summary="the task head alone, on a frozen base", by_peft=False, select=lambda name, module: False
    ),
    "untuned": Method(
        summary="nothing: the base as it is, with a fresh head where the kind has one",
        by_peft=False,
        select=lambda name, module: False,
        head=False,
    ),
}


def method_named(name: str) -> Method:
    """The row of `name`, or that of any other method of PEFT."""
    return METHODS.get(name) or Method(summary="a method of PEFT")
