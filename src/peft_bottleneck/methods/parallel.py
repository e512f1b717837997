"""Parallel: `f(x) + B(x)` beside the FFN `f` of every block, `x` its input.

`ParBnConfig` of AdapterHub's library, which feeds pre-LN families the residual stream before the norm:
`parallel_input="residual"`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

from ..config import BottleneckConfig, wrong_choice
from ..folding.foldable import FoldableLayer, FoldableModel
from ..layer import Placement
from ..placement import beside
from ..registration import register
from ..sites.family import Family, Site, in_block

PARALLEL_INPUTS = ("ffn", "residual")


@dataclass
class ParallelAdapterConfig(BottleneckConfig):
    """One bottleneck per block, `f(x) + B(x)` beside the FFN `f`; `x` and `f(x)` have the shape `(…, d)`.

    The other fields are `BottleneckConfig`'s. He et al. 2022, "Towards a Unified View of Parameter-Efficient Transfer
    Learning" (https://arxiv.org/abs/2110.04366).

    Args:
        parallel_input: what `B` reads where a family's row is taken: `"ffn"`, the FFN's input, or `"residual"`, the
            residual stream before the norm. In post-LN families they are the same tensor.
        foldable: choose, for the model at hand, what lets `merge_and_unload` fold the adapter into the FFN: the FFN's
            own activation, a gated bottleneck where the FFN is gated, biases where it has them.
        input_modules: the modules whose input is read in place of the targets', as a template that is expanded on the
            match of `target_modules` (`\\g<block>`); None takes the family's row, or the targets themselves. `a+b` is
            the input of `a` plus the output of `b`, which runs in between.

    Defaults: `reduction_factor=2`, `non_linearity="relu"`, `scaling=4.0`.

    Raises:
        ValueError: a value that is not among the choices, or two that exclude each other; the message names both.
    """

    scaling: float | str = field(default=4.0, metadata={"help": "s: a number, 'learned' or 'channel'"})
    parallel_input: str = field(default="ffn", metadata={"help": "'ffn' or 'residual'"})
    foldable: bool = field(default=False, metadata={"help": "choose what lets the adapter be folded into the FFN"})
    input_modules: str | None = field(
        default=None, metadata={"help": "template of the modules whose input is read, in place of the targets'"}
    )

    peft_type_name: ClassVar[str] = "PARALLEL_ADAPTER"
    default_reduction_factor: ClassVar[float] = 2

    def _problems(self) -> Iterator[str]:
        yield from super()._problems()
        if self.parallel_input not in PARALLEL_INPUTS:
            yield wrong_choice("parallel_input", self.parallel_input, PARALLEL_INPUTS)
        if self.adapter_residual_before_ln is True:
            yield "adapter_residual_before_ln=True: a parallel bottleneck has no residual connection of its own"
        if self.foldable and self.parallel_input == "residual":
            yield "foldable=True needs parallel_input='ffn', got 'residual'"


class ParallelAdapterLayer(FoldableLayer):
    prefix = "parallel_adapter_"


class ParallelAdapterModel(FoldableModel):
    """A base model with parallel adapters, `f(x) + B(x)`; `merge_and_unload()` folds them into a plain, wider model.

    `get_peft_model` makes it. Its inputs and outputs are the base model's. He et al. 2022
    (https://arxiv.org/abs/2110.04366).

    Raises:
        ValueError: no module of the model is a target, or a target's channels are not known; when folding, what
            cannot be folded, with the setting that would allow it.
    """

    prefix = ParallelAdapterLayer.prefix
    bottleneck_layer_cls = ParallelAdapterLayer

    @classmethod
    def site(cls, family: Family, config: BottleneckConfig) -> Site:
        if family.ffn is None and not family.ffn_input:
            raise ValueError(
                f"A parallel adapter finds no FFN of one kind: in some blocks of {family.block!r} it is a module, in "
                "others it is not. Set exclude_modules, a regular expression of the blocks to leave out; or "
                "target_modules and input_modules."
            )
        joined = family.side_by_side
        if joined is not None and not joined.one_input:
            raise ValueError(
                f"A parallel adapter finds no FFN of one input: in {family.block!r} {' and '.join(joined.outputs)} "
                "end two FFNs side by side, which read two tensors. Use PfeifferConfig; or set target_modules, a "
                "regular expression of the modules that the adapters go beside."
            )
        target = family.path(family.ffn or family.ffn_output)
        read = None if family.ffn else family.ffn_input[0]
        if config.parallel_input == "residual" and family.ffn_norm is None:
            if not family.residual:
                raise ValueError(
                    "parallel_input='residual': what reads the residual stream is not known for this model; set "
                    "parallel_input='ffn', or target_modules and input_modules."
                )
            read = family.residual[0] if family.residual[0] != family.ffn else None
        return Site(target, input_modules=None if read is None else in_block(read))

    @classmethod
    def placement(cls, module: nn.Module, config: BottleneckConfig) -> Placement:
        return beside


register("parallel_adapter", ParallelAdapterConfig, ParallelAdapterModel)
