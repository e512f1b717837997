"""A bottleneck that is added to the first part of a sum before the second: only the rounding differs."""

from __future__ import annotations

import pytest
import torch
from equations import layers
from peft import get_peft_model
from tiny_models import tiny_inputs, tiny_model

from peft_bottleneck import PfeifferConfig


def test_summands_change_the_order_of_a_sum_alone() -> None:
    """`(y + B) + r` in evaluation, `(y + r) + B` in training; without an active adapter the base's own bits."""
    torch.manual_seed(0)
    plain = tiny_model("llama").eval()
    inputs = tiny_inputs("llama")
    base = plain(**inputs).last_hidden_state
    summands = r"\g<block>.mlp+\g<block>.post_attention_layernorm"
    config = PfeifferConfig(init_weights=False, init_method="bert", summand_modules=summands)
    model = get_peft_model(plain, config).eval()
    found = layers(model)
    assert found
    in_order = model(**inputs).last_hidden_state
    assert not any(layer.summands.held for layer in found)
    assert not torch.allclose(in_order, base, atol=1e-4)
    torch.testing.assert_close(model.train()(**inputs).last_hidden_state, in_order, rtol=0, atol=1e-5)
    with model.eval().disable_adapter():
        assert torch.equal(model(**inputs).last_hidden_state, base)
    assert torch.equal(model.unload()(**inputs).last_hidden_state, base)
    assert not any(module._forward_hooks for module in plain.modules())


def test_summands_are_two_modules() -> None:
    with pytest.raises(ValueError, match="summand_modules must be a template of two modules, a\\+b, got 'mlp'"):
        PfeifferConfig(summand_modules="mlp")
