"""Where AdapterHub's library (`adapters` 1.3.0) puts bottlenecks, and what it calls their parameters, by family.

A parameter is called `<block>.<holder>.adapters.<name>.<parameter>`, with the block's name in transformers 4.57. The
library says so in its `models/*/modeling_*.py` and, for the later families, in `wrappers/interfaces.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

# Our parameters, by part and name in it, and the library's; `{}` is the place of the first map among its neighbours,
# which a norm before it takes up.
PARAMETERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "down.weight": ("adapter_down.{}.weight",),
        "down.bias": ("adapter_down.{}.bias",),
        "up.weight": ("adapter_up.weight",),
        "up.bias": ("adapter_up.bias",),
        "scaling": ("scaling",),
        "gating.weight": ("gate.weight",),
        "gating.bias": ("gate.bias",),
        # The library keeps this norm under two names.
        "norm_before.weight": ("adapter_norm_before.weight", "adapter_down.0.weight"),
        "norm_before.bias": ("adapter_norm_before.bias", "adapter_down.0.bias"),
        "norm_after.weight": ("adapter_norm_after.weight",),
        "norm_after.bias": ("adapter_norm_after.bias",),
    }
)
# Likewise of a map that is a sum of Kronecker products; what all layers share is the adapter's, not a block's.
SHARED = "shared_parameters"
PHM_BIAS = "b"
PHM_RULE: Mapping[str, str] = MappingProxyType(
    {"rule": "phm_rule", "rule_left": "phm_rule_left", "rule_right": "phm_rule_right"}
)
PHM_WEIGHTS: Mapping[str, str] = MappingProxyType(
    {"matrices": "W", "matrices_left": "W_left", "matrices_right": "W_right"}
)
PHM_SHARED_WEIGHTS: Mapping[str, str] = MappingProxyType(
    {"matrices": "W_{}", "matrices_left": "W_{}_left", "matrices_right": "W_{}_right"}
)
# Likewise of an invertible adapter's two nets.
INVERTIBLE = "invertible_adapters"
NETS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"nice": MappingProxyType({"f": "F", "g": "G"}), "glow": MappingProxyType({"f": "s2", "g": "s1"})}
)
NET_MAPS: Mapping[str, str] = MappingProxyType({"down": "0", "up": "2"})


@dataclass(frozen=True)
class Layout:
    """The row of a family; modules are named relative to a block.

    Attributes:
        attention: the library's module that holds the bottlenecks of the attention output.
        output: likewise of the FFN output.
        cross: our cross-attention output, and the library's holder; None where it adapts none.
        cross_site: the site that decides on the cross-attention: one of its own, or that of self-attention.
        attention_norm: post-LN: the norm after self-attention.
        cross_norm: post-LN: the norm after cross-attention.
        renamed: how a block's name begins in transformers 5, and in 4.57.
        part: how a block's name ends where a row of `sites` takes a part of a layer (T5's sublayers) for a block.
        pfeiffer: what a Pfeiffer adapter adapts, the output of the `"block"` or of its `"ffn"` alone.
        reads: the name of an attention output, its group `read` the module whose input is adapted there, in place of
            that output; None where the output is, as in every other family.
        parallel: what a parallel adapter reads, a value of `parallel_input` or of `input_modules`.
        no_invertible: why an invertible adapter of the library is not expressed there; None: it is.
        embeddings: the module whose output an invertible adapter maps, where it is not our row's.
        holds_invertible: the library's module that holds them.
        added: the module whose output a block adds last, where it is not the FFN.
        plain_sum: whether a block's output, or what enters its last norm, is that module's output plus what is tapped.
        refused: methods whose place here our equations do not express, each with the reason.
    """

    attention: str = "attention_adapters"
    output: str = "output_adapters"
    cross: tuple[str, str] | None = None
    cross_site: str = "cross_adapter"
    attention_norm: str | None = None
    cross_norm: str | None = None
    renamed: tuple[str, str] = ("", "")
    part: str = ""
    pfeiffer: str = "block"
    reads: str | None = None
    parallel: str = "residual"
    no_invertible: str | None = None
    embeddings: str | None = None
    holds_invertible: str = ""
    added: str | None = None
    plain_sum: bool = True
    refused: Mapping[str, str] = field(default_factory=dict)


_PLAIN = Layout()
_NONE = "the library has none there"
_BERT = Layout(
    "attention.output",
    "output",
    cross=(r"crossattention\.output\.dense", "crossattention.output"),
    cross_site="mh_adapter",
    attention_norm=r"attention\.output\.LayerNorm",
    cross_norm=r"crossattention\.output\.LayerNorm",
)
_MBART = Layout(cross=(r"encoder_attn\.out_proj", "cross_attention_adapters"), holds_invertible="encoder")
_BART = replace(_MBART, attention_norm="self_attn_layer_norm", cross_norm="encoder_attn_layer_norm")
_T5 = Layout("", "", cross=(r"EncDecAttention\.o", ""), part=r"\.layer\.\d+", holds_invertible="encoder")
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
            attention_norm=r"attention\.LayerNorm",
            reads=r"(?P<read>.*\.attention)\.dense",  # the library swaps output and input there
        ),
        "bart": _BART,
        "beit": Layout(
            added="drop_path",  # what the layer scale has multiplied
            renamed=("layers.", "encoder.layer."),
            no_invertible=_NONE,
            refused={"HOULSBY": _SCALED, "PARALLEL_ADAPTER": _SCALED},
        ),
        "bert": _BERT,
        "bert-generation": _BERT,
        "clip": Layout(holds_invertible="text_model"),
        "clip_text_model": Layout(renamed=("encoder.", "text_model.encoder."), holds_invertible="text_model"),
        "clip_vision_model": Layout(renamed=("encoder.", "vision_model.encoder."), no_invertible=_NONE),
        "deberta": _BERT,
        "deberta-v2": _BERT,
        "distilbert": Layout(attention_norm="sa_layer_norm"),
        "electra": _BERT,
        "gemma2": replace(_GEMMA, no_invertible="there it reads the embeddings before they are scaled"),
        "gemma3_text": _GEMMA,
        "gpt2": _PLAIN,
        # There a parallel adapter reads the residual stream plus the attention's output.
        "gptj": Layout(plain_sum=False, parallel=r"\g<block>.ln_1+\g<block>.attn"),
        "llama": _PLAIN,
        "mbart": _MBART,
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
        "vit": Layout(output="output.output_adapters", renamed=("layers.", "encoder.layer."), no_invertible=_NONE),
        "whisper": replace(_MBART, embeddings=r"encoder\.layer_norm"),  # it takes the end of the encoder for theirs
        "xlm-roberta": _BERT,
    }
)
