"""Houlsby: `y + B(y)` after the attention output projection and after the FFN output projection of every block.

Both come before dropout, residual and norm. Houlsby et al. 2019, "Parameter-Efficient Transfer Learning for NLP";
`DoubleSeqBnConfig` of AdapterHub's library.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ..config import BottleneckConfig
from ..layer import BottleneckLayer
from ..model import BottleneckModel
from ..registration import register
from ..sites import Family, Site


@dataclass
class HoulsbyConfig(BottleneckConfig):
    """Two bottlenecks per block, `y + B(y)` on the outputs of attention and FFN; the fields are `BottleneckConfig`'s.

    Defaults: `reduction_factor=16`, `non_linearity="swish"`.
    """

    non_linearity: str = field(default="swish", metadata={"help": "the activation function φ"})

    peft_type_name: ClassVar[str] = "HOULSBY"


class HoulsbyLayer(BottleneckLayer):
    prefix = "houlsby_"


class HoulsbyModel(BottleneckModel):
    """A base model with Houlsby adapters."""

    prefix = HoulsbyLayer.prefix
    tuner_layer_cls = HoulsbyLayer

    @classmethod
    def site(cls, family: Family, config: BottleneckConfig) -> Site:
        return Site(family.path(family.attention_output, family.ffn_output or family.ffn))


register("houlsby", HoulsbyConfig, HoulsbyModel)
