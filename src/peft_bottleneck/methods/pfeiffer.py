"""Pfeiffer: one bottleneck at the end of every block.

Post-LN families, with `u` the sum that enters the FFN's norm: `LN(u + B(LN(u)))`. Pre-LN families, with `h` the
block's output: `h + B(h)`. `SeqBnConfig` of AdapterHub's library.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

from ..config import BottleneckConfig, wrong
from ..layer import Placement
from ..merging import MergeableLayer
from ..model import BottleneckModel
from ..modules import is_norm
from ..placement import after, around_norm, in_block
from ..registration import register
from ..sites.family import Family, Site


@dataclass
class PfeifferConfig(BottleneckConfig):
    """One bottleneck per block, around its last norm or on its output; the other fields are `BottleneckConfig`'s.

    Pfeiffer et al. 2021, "AdapterFusion: Non-Destructive Task Composition for Transfer Learning"
    (https://arxiv.org/abs/2005.00247). A target that is a normalisation gets `LN(u + B(LN(u)))`, where `u` is its
    input; any other gets `y + B(y)`, where `y` is its output. `u` and `y` have the shape `(…, d)`.

    Args:
        output_modules: the modules whose output is adapted in place of the targets', as a template that is expanded on
            the match of `target_modules` (`\\g<block>`); None takes the family's row, or the targets themselves.
        summand_modules: where the block adds up what module `a` returns and what module `b` reads, the template `a+b`:
            in evaluation `B(x)` is then added to the first before the second, which changes the rounding alone. It is
            AdapterHub's order, and `load_adapterhub` sets it; None adds `B(x)` to the sum.

    Defaults: `reduction_factor=16`, `non_linearity="relu"`.

    Raises:
        ValueError: a value that is not among the choices, or two that exclude each other; the message names both.
    """

    output_modules: str | None = field(
        default=None, metadata={"help": "template of the modules whose output is adapted, in place of the targets'"}
    )

    summand_modules: str | None = field(
        default=None, metadata={"help": "template of the two modules whose output and input the block adds up"}
    )

    peft_type_name: ClassVar[str] = "PFEIFFER"

    def _problems(self) -> Iterator[str]:
        yield from super()._problems()
        if self.summand_modules is not None and str(self.summand_modules).count("+") != 1:
            yield wrong("summand_modules", self.summand_modules, "a template of two modules, a+b")


class PfeifferLayer(MergeableLayer):
    prefix = "pfeiffer_"


class PfeifferModel(BottleneckModel):
    """A base model with Pfeiffer adapters: `LN(u + B(LN(u)))` in post-LN blocks, `h + B(h)` in pre-LN blocks.

    `get_peft_model` makes it. Its inputs and outputs are the base model's. Pfeiffer et al. 2021
    (https://arxiv.org/abs/2005.00247).

    Raises:
        ValueError: no module of the model is a target, or a target's channels are not known.
    """

    prefix = PfeifferLayer.prefix
    bottleneck_layer_cls = PfeifferLayer

    @classmethod
    def site(cls, family: Family, config: BottleneckConfig) -> Site:
        if family.ffn_norm is not None:
            return Site(family.path(family.ffn_norm))
        if family.unlike_block:
            raise ValueError(
                f"A Pfeiffer adapter has no place at the end of blocks: {family.unlike_block} (several residual "
                "streams side by side, or channels that come first). Use HoulsbyConfig or ParallelAdapterConfig; or "
                f"set target_modules={family.written(family.ffn_output or family.ffn)}, which adapts the output of "
                "the FFN; or exclude_modules, a regular expression of the blocks to leave out."
            )
        return Site(family.path(family.ffn_output or family.ffn), output_modules=r"\g<block>")

    @classmethod
    def placement(cls, module: nn.Module, config: BottleneckConfig) -> Placement:
        if config.output_modules is not None:
            return in_block
        return around_norm if is_norm(module) else after


register("pfeiffer", PfeifferConfig, PfeifferModel)
