"""Tiny random models of every family, as transformers builds them: 2 blocks, hidden size 32, 4 heads, FFN size 64."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

VOCABULARY = 99
_LLAMA_LIKE: dict[str, Any] = dict(
    vocab_size=VOCABULARY,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
)
_BERT_LIKE: dict[str, Any] = dict(
    vocab_size=VOCABULARY,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=64,
    pad_token_id=0,
)
_BART_LIKE: dict[str, Any] = dict(
    vocab_size=VOCABULARY,
    d_model=32,
    encoder_layers=2,
    decoder_layers=2,
    encoder_attention_heads=4,
    decoder_attention_heads=4,
    encoder_ffn_dim=64,
    decoder_ffn_dim=64,
    max_position_embeddings=64,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
    decoder_start_token_id=1,
    forced_eos_token_id=None,
)
_T5_LIKE: dict[str, Any] = dict(
    vocab_size=VOCABULARY,
    d_model=32,
    d_kv=8,
    d_ff=64,
    num_layers=2,
    num_decoder_layers=2,
    num_heads=4,
    pad_token_id=0,
    eos_token_id=1,
    decoder_start_token_id=0,
)
_GPT2_LIKE: dict[str, Any] = dict(
    vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2
)

# model_type -> the arguments of its configuration class
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "bert": _BERT_LIKE,
    "roberta": {**_BERT_LIKE, "pad_token_id": 1},
    "xlm-roberta": {**_BERT_LIKE, "pad_token_id": 1},
    "distilbert": dict(
        vocab_size=VOCABULARY, dim=32, hidden_dim=64, n_layers=2, n_heads=4, max_position_embeddings=64, pad_token_id=0
    ),
    "albert": {**_BERT_LIKE, "embedding_size": 16},
    "electra": {**_BERT_LIKE, "embedding_size": 32},
    "deberta": {**_BERT_LIKE, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "deberta-v2": {**_BERT_LIKE, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "bert-generation": {**_BERT_LIKE, "bos_token_id": 1, "eos_token_id": 2},
    "mpnet": {**_BERT_LIKE, "pad_token_id": 1},
    "mobilebert": {**_BERT_LIKE, "embedding_size": 16, "intra_bottleneck_size": 16, "true_hidden_size": 16},
    "modernbert": {
        **_BERT_LIKE,
        "global_attn_every_n_layers": 2,
        "local_attention": 8,
        "cls_token_id": 1,
        "sep_token_id": 2,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
    "bart": _BART_LIKE,
    "mbart": _BART_LIKE,
    "marian": {**_BART_LIKE, "eos_token_id": 0},
    "m2m_100": _BART_LIKE,
    "pegasus": {**_BART_LIKE, "eos_token_id": 1},
    "t5": _T5_LIKE,
    "mt5": _T5_LIKE,
    "umt5": _T5_LIKE,
    "longt5": _T5_LIKE | dict(local_radius=3),
    "gpt2": _GPT2_LIKE,
    "gpt_neo": dict(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        intermediate_size=64,
        attention_types=[[["global", "local"], 1]],
        window_size=8,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=2,
    ),
    "gpt_neox": {**_BERT_LIKE, "bos_token_id": 1, "eos_token_id": 2},
    "gptj": {**_GPT2_LIKE, "rotary_dim": 4},
    "opt": dict(
        vocab_size=VOCABULARY,
        hidden_size=32,
        word_embed_proj_dim=32,
        ffn_dim=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    ),
    "bloom": dict(
        vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4, pad_token_id=0, bos_token_id=1, eos_token_id=2
    ),
    "falcon": dict(
        vocab_size=VOCABULARY,
        hidden_size=32,
        ffn_hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=1,
        eos_token_id=2,
    ),
    "llama": _LLAMA_LIKE,
    "mistral": _LLAMA_LIKE,
    "mixtral": {**_LLAMA_LIKE, "num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2": _LLAMA_LIKE,
    "qwen3": {**_LLAMA_LIKE, "head_dim": 8},
    "gemma": {**_LLAMA_LIKE, "head_dim": 8},
    "gemma2": {**_LLAMA_LIKE, "head_dim": 8},
    "gemma3_text": {**_LLAMA_LIKE, "head_dim": 8},
    "phi": _LLAMA_LIKE,
    "phi3": _LLAMA_LIKE,
    "olmo2": _LLAMA_LIKE,
    "smollm3": _LLAMA_LIKE,
    "stablelm": _LLAMA_LIKE,
    "starcoder2": _LLAMA_LIKE,
    "cohere": _LLAMA_LIKE,
    "granite": _LLAMA_LIKE,
    "vit": dict(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=16, patch_size=4
    ),
    "beit": dict(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=16, patch_size=4
    ),
    "whisper": {
        **{k: v for k, v in _BART_LIKE.items() if k not in ("max_position_embeddings", "forced_eos_token_id")},
        "num_mel_bins": 8,
        "max_source_positions": 16,
        "max_target_positions": 32,
        "begin_suppress_tokens": None,
        "suppress_tokens": None,
    },
    "clip": dict(
        text_config=dict(
            vocab_size=VOCABULARY,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=16,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        ),
        vision_config=dict(
            hidden_size=24,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=16,
            patch_size=4,
        ),
        projection_dim=16,
    ),
}

# Two models in one; `AutoModelForSeq2SeqLM` builds it, and no class builds it without a head.
COMPOSED: dict[str, dict[str, Any]] = {
    "encoder-decoder": dict(
        encoder={"model_type": "bert", **_BERT_LIKE},
        decoder={"model_type": "bert", **_BERT_LIKE, "is_decoder": True, "add_cross_attention": True},
        pad_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
}

ENCODER_DECODERS = ("bart", "mbart", "marian", "m2m_100", "pegasus", "t5", "mt5", "umt5", "longt5", *COMPOSED)


def tiny_config(model_type: str, **changes: Any) -> Any:
    """The configuration of the tiny model; initialised with 0.2 so that every block matters in the output."""
    return AutoConfig.for_model(model_type, **{**(CONFIGURATIONS | COMPOSED)[model_type], **changes})


def tiny_model(model_type: str, auto_class: Any = AutoModel, *, seed: int = 0, **changes: Any) -> Any:
    """A tiny model in eval mode; equal seeds give equal weights."""
    torch.manual_seed(seed)
    model = auto_class.from_config(tiny_config(model_type, **changes))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.2)
    return model.eval()


def tiny_inputs(model_type: str, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """A batch of three for `tiny_model(model_type)`; row 1 of a text batch is padded from position 7."""
    generator = torch.Generator().manual_seed(seed)
    if model_type in ("vit", "beit"):
        return {"pixel_values": torch.randn(3, 3, 16, 16, generator=generator)}
    if model_type == "whisper":
        return {
            "input_features": torch.randn(3, 8, 32, generator=generator),
            "decoder_input_ids": torch.randint(3, VOCABULARY, (3, 5), generator=generator),
        }
    inputs = {
        "input_ids": torch.randint(3, VOCABULARY, (3, 11), generator=generator),
        "attention_mask": torch.ones(3, 11, dtype=torch.long),
    }
    inputs["attention_mask"][1, 7:] = 0
    if model_type == "clip":
        inputs["pixel_values"] = torch.randn(3, 3, 16, 16, generator=generator)
    if model_type in ENCODER_DECODERS:
        inputs["decoder_input_ids"] = torch.randint(3, VOCABULARY, (3, 5), generator=generator)
    return inputs


class Residual(nn.Module):
    """`norm(x + f(x))`, with something of everything."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.f = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.f(x))
