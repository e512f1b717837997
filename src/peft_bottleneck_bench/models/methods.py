"""The methods with a row of their own: the three adapters of the plugin and the baselines.

Every other method of PEFT has its name in PEFT's registry, and PEFT's own defaults; a row here adds defaults.
Nothing in this module imports torch, so that listing the methods is instant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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
        size: the option that decides how many parameters the adapter has; empty: `r`, where the method has it.
        head: whether the task head is trained along.
        changes_base: whether it trains weights of the base, which then cannot have fewer bits.
        learning_rate: where the run configuration gives none. For the methods that `benchmarks/choose_defaults.py`
            lists, what its search found.
        warmup_steps: where the run configuration gives none, as a share of all steps; from the same search.
        refused: why the harness cannot run the method.
    """

    summary: str
    by_peft: bool = True
    defaults: Mapping[str, object] = field(default_factory=dict)
    select: Callable[[str, nn.Module], bool] | None = None
    size: str = ""
    head: bool = True
    changes_base: bool = False
    learning_rate: float = 1e-3
    warmup_steps: float = 0.06
    refused: str = ""

    @property
    def trains(self) -> bool:
        """Whether settings of the training affect the method."""
        return self.by_peft or self.head


METHODS: Mapping[str, Method] = {
    "houlsby": Method(
        summary="bottlenecks after attention and feed-forward network (Houlsby et al. 2019)",
        size="bottleneck_size",
        learning_rate=3e-3,
        warmup_steps=0.2,
    ),
    "pfeiffer": Method(
        summary="one bottleneck per block, after the feed-forward network (Pfeiffer et al. 2021)",
        size="bottleneck_size",
        learning_rate=3e-3,
        warmup_steps=0.2,
    ),
    "parallel_adapter": Method(
        summary="bottleneck beside the feed-forward network (He et al. 2022)",
        size="bottleneck_size",
        learning_rate=1e-3,
        warmup_steps=0.2,  # without it, the scale of 4 makes it collapse
    ),
    "lora": Method(
        summary="low-rank updates of the attention projections (Hu et al. 2022)",
        learning_rate=3e-3,
        warmup_steps=0.2,
    ),
    "ia3": Method(
        summary="learned scales of keys, values and feed-forward states (Liu et al. 2022)",
        learning_rate=1e-2,
        warmup_steps=0.2,
    ),
    "prefix_tuning": Method(
        summary="learned keys and values before every layer's own (Li and Liang 2021)",
        defaults={"num_virtual_tokens": 20},
        size="num_virtual_tokens",
        learning_rate=5e-3,
    ),
    "bias_tuning": Method(
        summary="the biases of the base (BitFit, Ben Zaken et al. 2022)",
        by_peft=False,
        select=lambda name, module: name.endswith("bias"),
        changes_base=True,
        learning_rate=3e-3,
        warmup_steps=0.2,
    ),
    "norm_tuning": Method(
        summary="the normalisation layers of the base (Zhao et al. 2024)",
        by_peft=False,
        select=lambda name, module: "norm" in type(module).__name__.lower(),
        changes_base=True,
    ),
    "full": Method(
        summary="all parameters",
        by_peft=False,
        select=lambda name, module: True,
        changes_base=True,
        learning_rate=3e-4,
        warmup_steps=0.2,
    ),
    "head_only": Method(
        summary="the task head alone, on a frozen base",
        by_peft=False,
        select=lambda name, module: False,
        learning_rate=1e-2,
    ),
    "untuned": Method(
        summary="nothing: the base as it is, with a fresh head where the kind has one",
        by_peft=False,
        select=lambda name, module: False,
        head=False,
    ),
}


# Defaults that the harness adds to methods of PEFT that are not in the table.
OTHERS: Mapping[str, Method] = {
    "prompt_tuning": Method(
        summary="a method of PEFT", defaults={"num_virtual_tokens": 20}, size="num_virtual_tokens", learning_rate=5e-3
    ),
    "p_tuning": Method(
        summary="a method of PEFT", defaults={"num_virtual_tokens": 20}, size="num_virtual_tokens", learning_rate=5e-3
    ),
    "fourierft": Method(summary="a method of PEFT", size="n_frequency"),
    "waveft": Method(summary="a method of PEFT", size="n_frequency"),
    "poly": Method(summary="a method of PEFT", refused="it needs the number of a task with every example"),
    "multitask_prompt_tuning": Method(
        summary="a method of PEFT", refused="it needs the number of a task with every example"
    ),
    "xlora": Method(summary="a method of PEFT", refused="it mixes LoRA adapters that were trained before"),
    "cartridge": Method(summary="a method of PEFT", refused="it distils a cache of a text, not a task"),
}


def method_named(name: str) -> Method:
    """The row of `name`; any other method of PEFT has PEFT's own defaults."""
    return METHODS.get(name) or OTHERS.get(name) or Method(summary="a method of PEFT")
