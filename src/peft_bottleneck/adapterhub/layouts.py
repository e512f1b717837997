"""Where AdapterHub's library (`adapters` 1.3.0) puts bottlenecks, and what it calls their parameters, by family.

A parameter is called `<block>.<holder>.adapters.<name>.<parameter>`, with the block's name in transformers 4.57. The
library says so in its `models/*/modeling_*.py` and, for the later families, in `wrappers/interfaces.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

# Our parameters of an adapter `{}`, without the method's prefix, and the library's.
PARAMETERS: Mapping[str, str] = MappingProxyType(
    {
        "down.{}.weight": "adapter_down.0.weight",
        "down.{}.bias": "adapter_down.0.bias",
        "up.{}.weight": "adapter_up.weight",
        "up.{}.bias": "adapter_up.bias",
        "scaling.{}": "scaling",
    }
)


@dataclass(frozen=True)
class Layout:
    """The row of a family; modules are named relative to a block.

    Attributes:
        attention: the library's module that holds the bottlenecks of the attention output.
        output: likewise of the FFN output.
        cross: our cross-attention output, and the library's holder; None where it adapts none.
        cross_site: the site that decides on the cross-attention: one of its own, or that of self-attention.
        renamed: how a block's name begins in transformers 5, and in 4.57.
        part: how a block's name ends where a row of `sites` takes a part of a layer (T5's sublayers) for a block.
        pfeiffer: what a Pfeiffer adapter adapts, the output of the `"block"` or of its `"ffn"` alone.
        reads: the name of an attention output, its group `read` the module whose input is adapted there, in place of
            that output; None where the output is, as in every other family.
        parallel: what a parallel adapter reads, a value of `parallel_input`.
        refused: methods whose place here our equations do not express, each with the reason.
    """

    attention: str = "attention_adapters"
    output: str = "output_adapters"
    cross: tuple[str, str] | None = None
    cross_site: str = "cross_adapter"
    renamed: tuple[str, str] = ("", "")
    part: str = ""
    pfeiffer: str = "block"
    reads: str | None = None
    parallel: str = "residual"
    refused: Mapping[str, str] = field(default_factory=dict)


_PLAIN = Layout()
_BERT = Layout(
    "attention.output",
    "output",
    cross=(r"crossattention\.output\.dense", "crossattention.output"),
    cross_site="mh_adapter",
)
_BART = Layout(cross=(r"encoder_attn\.out_proj", "cross_attention_adapters"))
_T5 = Layout("", "", cross=(r"EncDecAttention\.o", ""), part=r"\.layer\.\d+")
_GEMMA = Layout(
    refused={"PFEIFFER": "there it reads the FFN's output plus the residual stream, under a norm of the last block"}
)
_SCALED = "there it adds to what the layer scale has multiplied, which is no module's output"

# Families of the library's that are not in the table, with the reason.
NOT_CONVERTED: Mapping[str, str] = MappingProxyType(
    {"xmod": "the library takes out X-MOD's own language adapters, with which transformers computes"}
)
LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "albert": Layout(
            attention="attention.attention_adapters",
            reads=r"(?P<read>.*\.attention)\.dense",  # the library swaps output and input there
        ),
        "bart": _BART,
        "beit": Layout(
            renamed=("layers.", "encoder.layer."), refused={"HOULSBY": _SCALED, "PARALLEL_ADAPTER": _SCALED}
        ),
        "bert": _BERT,
        "bert-generation": _BERT,
        "clip": _PLAIN,
        "clip_text_model": Layout(renamed=("encoder.", "text_model.encoder.")),
        "clip_vision_model": Layout(renamed=("encoder.", "vision_model.encoder.")),
        "deberta": _BERT,
        "deberta-v2": _BERT,
        "distilbert": _PLAIN,
        "electra": _BERT,
        "gemma2": _GEMMA,
        "gemma3_text": _GEMMA,
        "gpt2": _PLAIN,
        "gptj": Layout(refused={"PARALLEL_ADAPTER": "there it reads the residual stream plus the attention's output"}),
        "llama": _PLAIN,
        "mbart": _BART,
        "mistral": _PLAIN,
        "modernbert": Layout(
            parallel="ffn",
            refused={"PFEIFFER": "there it reads the FFN's output plus the FFN's input, after the norm"},
        ),
        "mt5": _T5,
        "phi": Layout(pfeiffer="ffn", refused={"PARALLEL_ADAPTER": "there the library itself fails"}),
        "plbart": _BART,
        "qwen2": _PLAIN,
        "qwen3": _PLAIN,
        "roberta": _BERT,
        "t5": _T5,
        "vit": Layout(output="output.output_adapters", renamed=("layers.", "encoder.layer.")),
        "whisper": _BART,
        "xlm-roberta": _BERT,
    }
)
