"""Calls that run as without reuse of the prefix, and what stays as it was."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from equations import METHODS, randomise
from peft import LoraConfig
from prefix_models import LAYERS, assert_same, tiny, with_adapter
from tiny_models import tiny_inputs, tiny_model
from transformers import (
    AutoModelForCausalLM,
)

from peft_bottleneck import reuse_prefix


@pytest.mark.parametrize("method", ["houlsby", "lora"])
def test_rows_with_adapters_of_their_own(method: str, tmp_path: Path) -> None:
    """Where an adapter is in a frozen block, rows may have it though it is not the active one."""
    model = with_adapter(tiny("llama"), method, [2], **(LAYERS if method == "lora" else {}))
    config = (
        LoraConfig(layers_to_transform=[0], **LAYERS) if method == "lora" else METHODS[method](layers_to_transform=[0])
    )
    model.add_adapter("lower", config)
    randomise(model).eval().set_adapter("default")
    inputs = {**tiny_inputs("llama"), "adapter_names": ["default", "lower", "__base__"]}
    with torch.no_grad():
        expected = model(**inputs)
        with reuse_prefix(model, tmp_path) as prefix:
            model(**tiny_inputs("llama"))
            assert_same(model(**inputs), expected, inputs)
    assert prefix.plain_calls == 1


def test_generation_runs_without_reuse(tmp_path: Path) -> None:
    model = with_adapter(tiny_model("llama", AutoModelForCausalLM, num_hidden_layers=3), "houlsby", [2])
    ids = tiny_inputs("llama")["input_ids"]
    options = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "max_new_tokens": 4, "do_sample": False}
    expected = model.generate(**options)
    with reuse_prefix(model, tmp_path) as prefix:
        for use_cache in (True, False):
            assert torch.equal(model.generate(**options, use_cache=use_cache), expected)
        assert prefix.rows_computed == 0
        assert prefix.folder == tmp_path
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "more",
    [{"output_hidden_states": True}, {"output_attentions": True}, {"use_cache": True}],
    ids=lambda m: next(iter(m)),
)
def test_calls_that_need_more_run_without_reuse(more: dict[str, bool], tmp_path: Path) -> None:
    model = with_adapter(tiny("llama", attn_implementation="eager"), "houlsby", [2])
    inputs = tiny_inputs("llama")
    with torch.no_grad():
        expected = model(**inputs, **more)
        with reuse_prefix(model, tmp_path) as prefix:
            model(**inputs)
            output = model(**inputs, **more)
    assert prefix.plain_calls == 1
    for key in ("hidden_states", "attentions"):
        assert (getattr(output, key) is None) == (getattr(expected, key) is None)
        for one, other in zip(getattr(output, key) or (), getattr(expected, key) or (), strict=True):
            assert torch.equal(one, other)
    if "use_cache" in more:
        assert output.past_key_values.get_seq_length() == 11 if hasattr(output, "past_key_values") else output.cache


def test_the_models_own_settings_are_left(tmp_path: Path) -> None:
    model = with_adapter(tiny_model("llama", num_hidden_layers=3), "houlsby", [2])
    base = model.get_base_model()
    before = {name: dict(vars(module)) for name, module in model.named_modules()}
    with reuse_prefix(model, tmp_path), torch.no_grad():
        assert model(**tiny_inputs("llama")).past_key_values is None
        assert base.config.use_cache is True
    for name, module in model.named_modules():
        assert vars(module).keys() == before[name].keys()
    with torch.no_grad():
        assert model(**tiny_inputs("llama")).past_key_values is not None


def test_a_copy_of_the_model_reuses_too(tmp_path: Path) -> None:
    model = with_adapter(tiny("bert"), "houlsby", [2])
    inputs = tiny_inputs("bert")
    with torch.no_grad(), reuse_prefix(model, tmp_path):
        model(**inputs)
        twin = copy.deepcopy(model)
        for parameter in twin.parameters():
            parameter.add_(0.1)  # the copy is another model now
        expected = copy.deepcopy(twin)
        del vars(expected.get_base_model())["forward"]
        assert_same(twin(**inputs), expected(**inputs), inputs)
