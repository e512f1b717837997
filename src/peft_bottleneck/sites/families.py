"""One row per model family: where its blocks are and which modules play which part in them.

Several rows may name a `model_type`: the first whose `block` the model has, and whose `when` its configuration meets,
is the one.
"""

from __future__ import annotations

import re
from dataclasses import replace

from torch import nn

from .family import Family


def _types(names: str) -> tuple[str, ...]:
    return tuple(names.split())


_BERT = Family(
    (),
    block=r"encoder\.layer\.\d+",
    attention_output=r"attention\.output\.dense",
    ffn_input=(r"intermediate\.dense",),
    ffn_output=r"output\.dense",
    ffn_norm=r"output\.LayerNorm",
    embeddings=("embeddings",),
)
_BART = Family(
    (),
    block=r"(?:encoder|decoder)\.layers\.\d+",
    attention_output=r"self_attn\.out_proj",
    ffn_input=("fc1",),
    ffn_output="fc2",
    ffn_size={"encoder": "encoder_ffn_dim", "decoder": "decoder_ffn_dim"},
    embeddings=(r"encoder\.layernorm_embedding", r"encoder\.embed_tokens"),
)
_OPT = replace(_BART, block=r"layers\.\d+", ffn_size={"": "ffn_dim"}, embeddings=())
_GPT2 = Family(
    (),
    block=r"h\.\d+",
    attention_output=r"attn\.c_proj",
    ffn="mlp",
    ffn_input=(r"mlp\.c_fc",),
    ffn_output=r"mlp\.c_proj",
    residual=("ln_2",),
    embeddings=("drop",),
)
_BLOOM = Family(
    (),
    block=r"h\.\d+",
    attention_output=r"self_attention\.dense",
    ffn="mlp",
    ffn_input=(r"mlp\.dense_h_to_4h",),
    ffn_output=r"mlp\.dense_4h_to_h",
    residual=("post_attention_layernorm",),
)
_LLAMA = Family(
    (),
    block=r"layers\.\d+",
    attention_output=r"self_attn\.o_proj",
    ffn="mlp",
    ffn_input=(r"mlp\.gate_proj", r"mlp\.up_proj"),
    ffn_output=r"mlp\.down_proj",
    residual=("post_attention_layernorm",),
)
_CLIP = Family(
    (),
    block=r"encoder\.layers\.\d+",
    attention_output=r"self_attn\.out_proj",
    ffn="mlp",
    ffn_input=(r"mlp\.fc1",),
    ffn_output=r"mlp\.fc2",
    residual=("layer_norm2",),
)

FAMILIES: tuple[Family, ...] = (
    replace(
        _BERT,
        model_types=_types(
            "bert roberta xlm-roberta camembert electra deberta deberta-v2 bert-generation ernie data2vec-text"
        ),
    ),
    # Post-LN inside a bottleneck of its own; its other three FFNs share the number that is their width.
    replace(_BERT, model_types=("mobilebert",), ffn_size={}),
    replace(_BERT, model_types=("mpnet",), attention_output=r"attention\.attn\.o"),
    Family(
        ("distilbert",),
        block=r"transformer\.layer\.\d+",
        attention_output=r"attention\.out_lin",
        ffn="ffn",
        ffn_input=(r"ffn\.lin1",),
        ffn_output=r"ffn\.lin2",
        ffn_norm="output_layer_norm",
        ffn_size={"": "hidden_dim"},
        embeddings=("embeddings",),
    ),
    Family(
        ("albert",),
        block=r"encoder\.albert_layer_groups\.\d+\.albert_layers\.\d+",
        attention_output=r"attention\.dense",
        ffn_input=("ffn",),
        ffn_output="ffn_output",
        ffn_norm="full_layer_layer_norm",
        embeddings=("embeddings",),
    ),
    Family(
        ("modernbert",),
        block=r"layers\.\d+",
        attention_output=r"attn\.Wo",
        ffn="mlp",
        ffn_input=(r"mlp\.Wi",),
        ffn_output=r"mlp\.Wo",
        residual=("mlp_norm",),
        embeddings=("embeddings",),
    ),
    replace(_BART, model_types=_types("bart marian plbart blenderbot-small"), ffn_norm="final_layer_norm"),
    replace(_BART, model_types=_types("mbart m2m_100 pegasus whisper blenderbot"), residual=("final_layer_norm",)),
    Family(
        _types("t5 mt5 umt5 longt5"),
        # The three kinds of sublayer share one list, so the sublayer plays the block's part.
        block=r"(?:encoder|decoder)\.block\.\d+\.layer\.\d+",
        attention_output=r"(?:Local|TransientGlobal)?SelfAttention\.o",
        ffn="DenseReluDense",
        ffn_input=(r"DenseReluDense\.wi(?:_0)?", r"DenseReluDense\.wi_1"),
        ffn_output=r"DenseReluDense\.wo",
        residual=("layer_norm",),
        ffn_size={"": "d_ff"},
        embeddings=(r"encoder\.embed_tokens",),
    ),
    replace(_GPT2, model_types=("gpt2",), ffn_size={"": "n_inner"}),
    replace(_GPT2, model_types=("gpt_neo",), attention_output=r"attn\.attention\.out_proj"),
    replace(
        _BLOOM,
        model_types=("gpt_neox",),
        block=r"layers\.\d+",
        attention_output=r"attention\.dense",
        embeddings=("emb_dropout",),
    ),
    replace(
        _GPT2,
        model_types=("gptj",),
        attention_output=r"attn\.out_proj",
        ffn_input=(r"mlp\.fc_in",),
        ffn_output=r"mlp\.fc_out",
        residual=("ln_1",),
        ffn_size={"": "n_inner"},
    ),
    replace(_OPT, model_types=("opt",), residual=("final_layer_norm",), when={"do_layer_norm_before": True}),
    replace(_OPT, model_types=("opt",), ffn_norm="final_layer_norm", when={"do_layer_norm_before": False}),
    replace(
        _BLOOM,
        model_types=("bloom",),
        ffn_size={},  # always four times the hidden size
        embeddings=("word_embeddings_layernorm",),
    ),
    replace(
        _BLOOM,
        model_types=("falcon",),
        residual=("ln_mlp", "post_attention_layernorm", "input_layernorm"),
        ffn_size={"": "ffn_hidden_size"},
    ),
    replace(
        _LLAMA,
        model_types=_types("llama mistral qwen2 qwen3 gemma granite smollm3 stablelm cohere"),
        residual=("post_attention_layernorm", "input_layernorm"),
    ),
    replace(_LLAMA, model_types=_types("gemma2 gemma3_text"), residual=("pre_feedforward_layernorm",)),
    replace(_LLAMA, model_types=("olmo2",), residual=("mlp",)),
    replace(_LLAMA, model_types=("mixtral",), ffn=r"mlp|block_sparse_moe", ffn_input=(), ffn_output=None),
    Family(
        ("phi",),
        block=r"layers\.\d+",
        attention_output=r"self_attn\.dense",
        ffn="mlp",
        ffn_input=(r"mlp\.fc1",),
        ffn_output=r"mlp\.fc2",
        residual=("input_layernorm",),
    ),
    replace(_LLAMA, model_types=("phi3",), ffn_input=(r"mlp\.gate_up_proj",)),
    replace(_LLAMA, model_types=("starcoder2",), ffn_input=(r"mlp\.c_fc",), ffn_output=r"mlp\.c_proj"),
    Family(
        _types("vit beit"),
        block=r"layers\.\d+",
        attention_output=r"attention\.o_proj",
        ffn="mlp",
        ffn_input=(r"mlp\.fc1",),
        ffn_output=r"mlp\.fc2",
        residual=("layernorm_after",),
        embeddings=("embeddings",),
    ),
    # As transformers before 5 has it.
    replace(_BERT, model_types=_types("vit beit"), ffn_norm=None, residual=("layernorm_after",)),
    replace(
        _CLIP,
        model_types=("clip",),
        block=r"(?:text|vision)_model\.encoder\.layers\.\d+",
        ffn_size={"text_model": "text_config.intermediate_size", "vision_model": "vision_config.intermediate_size"},
        embeddings=(r"text_model\.embeddings",),
    ),
    replace(_CLIP, model_types=_types("clip_text_model clip_vision_model"), embeddings=("embeddings",)),
)


COMPOSED = "encoder-decoder"  # the type of a model that is an encoder and a decoder with a configuration each


def _common_row(encoder: nn.Module, decoder: nn.Module) -> Family | None:
    """The row of a model made of two of one family, BERT and BERT for example; None where they are of two."""
    row = family_of(encoder)
    if row is None or row != family_of(decoder):
        return None
    # The first part that a block's name contains decides, and the blocks of both may lie in an `encoder`.
    sizes = (
        {"decoder.": f"decoder.{row.ffn_size['']}", "": f"encoder.{row.ffn_size['']}"} if "" in row.ffn_size else {}
    )
    return replace(row, ffn_size=sizes, embeddings=tuple(rf"encoder\.{name}" for name in row.embeddings))


def family_of(model: nn.Module) -> Family | None:
    """The row for this model, or None."""
    config = getattr(model, "config", None)
    model_type = getattr(config, "model_type", None)
    if model_type == COMPOSED:
        return _common_row(model.encoder, model.decoder)  # type: ignore[arg-type]
    names = [name for name, _ in model.named_modules()]
    for family in FAMILIES:
        if model_type not in family.model_types:
            continue
        if any(getattr(config, name, None) != value for name, value in family.when.items()):
            continue
        block = re.compile(rf"(?:.*\.)?{family.block}")
        blocks = [name for name in names if block.fullmatch(name)]
        if blocks:
            inside = {name.removeprefix(blocks[0] + ".") for name in names if name.startswith(blocks[0] + ".")}
            return replace(family, residual=tuple(name for name in family.residual if name in inside)[:1])
    return None
