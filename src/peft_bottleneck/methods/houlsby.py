"""Houlsby: `y + B(y)` after the attention output projection and after the FFN output projection of every block.

Both come before dropout, residual and norm. `DoubleSeqBnConfig` of AdapterHub's library.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar

from ..config import BottleneckConfig
from ..merging import MergeableLayer
from ..model import BottleneckModel
from ..modules import is_norm
from ..registration import register
from ..sites.family import Family, Site


@dataclass
class HoulsbyConfig(BottleneckConfig):
    """Two bottlenecks per block, `y + B(y)` on the outputs `y` of attention and FFN, both of the shape `(…, d)`.

    They come before dropout, residual sum and norm. Houlsby et al. 2019, "Parameter-Efficient Transfer Learning for
    NLP" (https://arxiv.org/abs/1902.00751). The other fields are `BottleneckConfig`'s.

    Args:
        input_modules: modules whose input is read in place of the targets' output, as a template that is expanded on
            the match of `target_modules`; where it expands to nothing, and everywhere for None, the output is read.
        train_layernorm: train a copy of every normalisation layer as well, saved and switched with the adapter, as
            Houlsby et al. do.

    Defaults: `reduction_factor=16`, `non_linearity="swish"`.

    Raises:
        ValueError: a value that is not among the choices, or two that exclude each other; the message names both.
    """

    non_linearity: str = field(default="swish", metadata={"help": "the activation function φ"})
    input_modules: str | None = field(
        default=None, metadata={"help": "template of the modules whose input is read, in place of the targets' output"}
    )
    train_layernorm: bool = field(default=False, metadata={"help": "train copies of the normalisation layers as well"})

    peft_type_name: ClassVar[str] = "HOULSBY"


class HoulsbyLayer(MergeableLayer):
    prefix = "houlsby_"


class HoulsbyModel(BottleneckModel):
    """A base model with Houlsby adapters: `y + B(y)` on the outputs of attention and FFN.

    `get_peft_model` makes it. Its inputs and outputs are the base model's. Houlsby et al. 2019
    (https://arxiv.org/abs/1902.00751).

    Raises:
        ValueError: no module of the model is a target, or a target's channels are not known.
    """

    prefix = HoulsbyLayer.prefix
    bottleneck_layer_cls = HoulsbyLayer

    @classmethod
    def site(cls, family: Family, config: BottleneckConfig) -> Site:
        joined = family.side_by_side
        if joined is not None:
            raise ValueError(
                f"A Houlsby adapter finds no module that writes the output of the FFN: in {family.block!r} "
                f"{' and '.join(joined.outputs)} compute it side by side. Use PfeifferConfig"
                f"{' or ParallelAdapterConfig' if joined.one_input else ''}; or set "
                f"target_modules={family.written(family.attention_output, *joined.outputs)}, which adapts each of "
                "them."
            )
        return Site(family.path(family.attention_output, family.ffn_output or family.ffn))

    def _prepare_adapter_config(self, config: HoulsbyConfig, model_config: dict[str, object]) -> HoulsbyConfig:
        super()._prepare_adapter_config(config, model_config)
        if config.train_layernorm:
            # PEFT keeps, saves and switches copies of what `modules_to_save` names, by the last part of the name.
            # Where an adapter has done so before, the norm is inside the wrapper that bears its name.
            names = {
                re.split(r"\.(?:original_module|modules_to_save)\b", name)[0].rpartition(".")[2]
                for name, module in self.model.named_modules()
                if is_norm(module) and any(True for _ in module.parameters())
            }
            config.modules_to_save = sorted({*(config.modules_to_save or ()), *names})
        return config


register("houlsby", HoulsbyConfig, HoulsbyModel)
