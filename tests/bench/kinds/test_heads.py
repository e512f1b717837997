"""The head of a language model is part of what is pretrained, not of what every method trains."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.models.trainable import head_modules, make_trainable

SIZES = dict(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
BART = dict(
    vocab_size=9,
    d_model=8,
    encoder_layers=1,
    decoder_layers=1,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
    encoder_ffn_dim=8,
    decoder_ffn_dim=8,
)


@pytest.mark.parametrize(
    ("model_type", "auto_class", "sizes"),
    [
        ("llama", AutoModelForCausalLM, SIZES),
        ("gpt2", AutoModelForCausalLM, {"vocab_size": 9, "n_embd": 8, "n_layer": 1, "n_head": 2}),
        ("t5", AutoModelForSeq2SeqLM, {"vocab_size": 9, "d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1}),
        ("bart", AutoModelForSeq2SeqLM, BART),
    ],
)
def test_models_that_write_have_no_fresh_head(model_type: str, auto_class: type, sizes: dict[str, int]) -> None:
    with torch.device("meta"):
        model = auto_class.from_config(AutoConfig.for_model(model_type, **sizes))  # type: ignore[attr-defined]
    assert head_modules(model) == []
    with pytest.raises(UserError) as error:
        make_trainable(model, "head_only", {}, "CAUSAL_LM")
    assert error.value.messages == (f"method 'head_only' finds nothing to train in models of type '{model_type}'",)
