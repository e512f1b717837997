"""Parallel: `f(x) + B(x)` beside the FFN `f` of every block, `x` its input.

He et al. 2022, "Towards a Unified View of Parameter-Efficient Transfer Learning"; `ParBnConfig` of AdapterHub's
library, which feeds pre-LN families the residual stream before the norm: `parallel_input="residual"`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

from ..config import BottleneckConfig
from ..layer import BottleneckLayer, Placement, beside
from ..model import BottleneckModel
from ..registration import register
from ..sites import Family, Site, in_block

PARALLEL_INPUTS = ("ffn", "residual")


@dataclass
class ParallelAdapterConfig(BottleneckConfig):
    """One bottleneck per block, beside the FFN; the other fields are `BottleneckConfig`'s.

    Args:
        parallel_input: what `B` reads where a family's row is taken: `"ffn"`, the FFN's input, or `"residual"`, the
            residual stream before the norm. In post-LN families they are the same tensor.
        input_modules: the modules whose input is read in place of the targets', as a template that is expanded on the
            match of `target_modules` (`\\g<block>`); None takes the family's row, or the targets themselves.

    Defaults: `reduction_factor=2`, `non_linearity="relu"`, `scaling=4.0`.
    """

    scaling: float | str = field(default=4.0, metadata={"help": "s: a number, 'learned' or 'channel'"})
    parallel_input: str = field(default="ffn", metadata={"help": "'ffn' or 'residual'"})
    input_modules: str | None = field(
        default=None, metadata={"help": "template of the modules whose input is read, in place of the targets'"}
    )

    peft_type_name: ClassVar[str] = "PARALLEL_ADAPTER"
    default_reduction_factor: ClassVar[float] = 2

    def _problems(self) -> list[str | None]:
        wrong = self.parallel_input not in PARALLEL_INPUTS
        problem = f"parallel_input must be one of {PARALLEL_INPUTS}, got {self.parallel_input!r}" if wrong else None
        return [*super()._problems(), problem]


class ParallelAdapterLayer(BottleneckLayer):
    prefix = "parallel_adapter_"


class ParallelAdapterModel(BottleneckModel):
    """A base model with parallel adapters."""

    prefix = ParallelAdapterLayer.prefix
    tuner_layer_cls = ParallelAdapterLayer

    @classmethod
    def site(cls, family: Family, config: BottleneckConfig) -> Site:
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
