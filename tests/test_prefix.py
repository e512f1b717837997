"""Outputs and gradients with the frozen blocks' output from a store are those without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from equations import METHODS, randomise
from prefix_models import assert_same, tiny, with_adapter
from tiny_models import ENCODER_DECODERS, tiny_inputs, tiny_model
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
)

from peft_bottleneck import reuse_prefix

ENCODERS = ("bert", "roberta", "distilbert", "electra", "deberta-v2", "modernbert", "mpnet")
DECODERS = ("llama", "gpt2", "gemma", "gemma3_text", "gpt_neox", "opt", "bloom", "gpt_neo")
WITH_ENCODER = ("t5", "umt5", "longt5", "bart", "marian")


def with_targets(model_type: str) -> dict[str, Tensor]:
    inputs = tiny_inputs(model_type)
    if model_type in ENCODER_DECODERS:
        return {**inputs, "labels": inputs.pop("decoder_input_ids")}
    if model_type in DECODERS:
        return {**inputs, "labels": inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)}
    return {**inputs, "labels": torch.tensor([0, 1, 1])}


def head_class(model_type: str) -> Any:
    if model_type in ENCODER_DECODERS:
        return AutoModelForSeq2SeqLM
    return AutoModelForCausalLM if model_type in DECODERS else AutoModelForSequenceClassification


def gradients(model: Any, inputs: dict[str, Tensor]) -> tuple[Any, dict[str, Tensor]]:
    output = model(**inputs)
    output.loss.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return output, found


@pytest.mark.parametrize("model_type", [*ENCODERS, *DECODERS, *WITH_ENCODER])
def test_outputs_and_gradients_are_equal(model_type: str, tmp_path: Path) -> None:
    """Bit for bit: the first call stores, the second reads; then a training step in training mode."""
    model = with_adapter(tiny(model_type, head_class(model_type)), "houlsby", [2])
    inputs = with_targets(model_type)
    with torch.no_grad():
        expected = model(**inputs)
    loss, wanted = gradients(model.train(), inputs)
    model.eval()
    with reuse_prefix(model, tmp_path) as prefix:
        assert prefix.blocks == 2
        with torch.no_grad():
            assert_same(model(**inputs), expected, inputs)
            assert (prefix.rows_computed, prefix.rows_read) == (3, 0)
            assert_same(model(**inputs), expected, inputs)
            assert (prefix.rows_computed, prefix.rows_read) == (3, 3)
        output, found = gradients(model.train(), inputs)
        assert (prefix.rows_computed, prefix.rows_read, prefix.plain_calls) == (3, 6, 0)
    assert_same(output, loss, inputs)
    assert found.keys() == wanted.keys()
    assert all("2" in name.split(".") for name in found)
    for name, gradient in wanted.items():
        assert torch.equal(found[name], gradient), name
    with torch.no_grad():
        assert_same(model.eval()(**inputs), expected, inputs)


@pytest.mark.parametrize("model_type", ["bert", "llama", "gpt2"])
@pytest.mark.parametrize("method", ["pfeiffer", "parallel_adapter", "lora"])
def test_other_methods(method: str, model_type: str, tmp_path: Path) -> None:
    model = with_adapter(tiny(model_type, head_class(model_type)), method, [1, 2])
    inputs = with_targets(model_type)
    expected, wanted = gradients(model.train(), inputs)
    with reuse_prefix(model, tmp_path) as prefix:
        assert prefix.blocks == 1
        for _ in range(2):
            output, found = gradients(model, inputs)
            assert_same(output, expected, inputs)
            assert all(torch.equal(found[name], gradient) for name, gradient in wanted.items())
    assert (prefix.rows_computed, prefix.rows_read) == (3, 3)


@pytest.mark.parametrize("model_type", ["bert", "roberta", "distilbert", "modernbert", "llama", "gpt2", "t5", "bart"])
def test_with_a_trained_head_all_blocks_are_prefix(model_type: str, tmp_path: Path) -> None:
    model = tiny(model_type, AutoModelForSequenceClassification, pad_token_id=0)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(part in name for part in ("classif", "score", "pooler", "head.dense")))
    inputs = tiny_inputs(model_type)
    inputs.pop("decoder_input_ids", None)
    if model_type in ("t5", "bart"):
        inputs["input_ids"][:, -1] = inputs["input_ids"][1, 6] = model.config.eos_token_id
    inputs["input_ids"] = inputs["input_ids"] * inputs["attention_mask"]  # heads look for the id of padding
    inputs["labels"] = torch.tensor([0, 1, 1])
    expected, wanted = gradients(model.train(), inputs)
    assert wanted
    with reuse_prefix(model, tmp_path) as prefix:
        assert prefix.blocks == 3
        for _ in range(2):
            output, found = gradients(model, inputs)
            assert_same(output, expected, inputs)
            assert all(torch.equal(found[name], gradient) for name, gradient in wanted.items())
    assert prefix.rows_read == 3


def test_images(tmp_path: Path) -> None:
    model = with_adapter(tiny("vit"), "pfeiffer", [1])
    inputs = tiny_inputs("vit")
    with torch.no_grad():
        expected = model(**inputs)
        with reuse_prefix(model, tmp_path) as prefix:
            assert_same(model(**inputs), expected, inputs)
            assert_same(model(**inputs), expected, inputs)
    assert prefix.rows_read == 3


def test_dropout_is_off_in_frozen_blocks_alone(tmp_path: Path) -> None:
    model = with_adapter(tiny_model("bert", num_hidden_layers=3, hidden_dropout_prob=0.5), "houlsby", [2])
    inputs = tiny_inputs("bert")
    seen: list[Tensor] = []
    model.get_base_model().encoder.layer[2].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        model.eval()(**inputs)
        with reuse_prefix(model, tmp_path):
            first, second = (model.train()(**inputs).last_hidden_state for _ in range(2))
    mask = inputs["attention_mask"].bool()
    assert torch.equal(seen[-1][mask], seen[0][mask])
    assert not torch.equal(first[mask], second[mask])  # the upper block still drops
    assert all(module.training for module in model.modules())


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable. is deprecated:FutureWarning")
@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("model_type", ["bert", "llama", "t5"])
def test_gradient_checkpointing(model_type: str, reentrant: bool, tmp_path: Path) -> None:
    model = with_adapter(tiny(model_type, head_class(model_type)), "pfeiffer", [1, 2])
    inputs = with_targets(model_type)
    expected, wanted = gradients(model.train(), inputs)
    model.enable_input_require_grads()  # which reentrant checkpointing needs
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    with reuse_prefix(model, tmp_path):
        for _ in range(2):
            output, found = gradients(model, inputs)
            assert torch.equal(output.loss, expected.loss)
            assert found.keys() == wanted.keys()
            for name, gradient in wanted.items():
                torch.testing.assert_close(found[name], gradient)


def test_autocast_has_a_store_of_its_own(tmp_path: Path) -> None:
    model = with_adapter(tiny("bert"), "houlsby", [2])
    inputs = tiny_inputs("bert")
    with torch.no_grad(), reuse_prefix(model, tmp_path) as prefix:
        model(**inputs)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            computed, read = model(**inputs), model(**inputs)
        assert_same(read, computed, inputs)
        assert prefix.rows_computed == 6
    assert len(list(tmp_path.iterdir())) == 2
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert_same(model(**inputs), computed, inputs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_on_disk(dtype: torch.dtype, tmp_path: Path) -> None:
    model = with_adapter(tiny("llama"), "houlsby", [2])
    inputs = tiny_inputs("llama")
    with torch.no_grad():
        expected = model(**inputs).last_hidden_state
        with reuse_prefix(model, tmp_path / "half", dtype=dtype) as half:
            computed, read = model(**inputs), model(**inputs)
        with reuse_prefix(model, tmp_path / "full") as full:
            model(**inputs)
    assert_same(read, computed, inputs)
    mask = inputs["attention_mask"].bool()
    torch.testing.assert_close(read.last_hidden_state[mask], expected[mask], rtol=0.05, atol=0.05)
    assert not torch.equal(read.last_hidden_state[mask], expected[mask])
    entries = 3 * 32
    assert 2 * (half.size - entries) == full.size - entries > 0


def test_each_adapter_has_its_own_lowest_block(tmp_path: Path) -> None:
    model = with_adapter(tiny("llama"), "houlsby", [2])
    for name, block in (("lower", 0), ("middle", 1)):
        model.add_adapter(name, METHODS["houlsby"](layers_to_transform=[block]))
    randomise(model)
    inputs = tiny_inputs("llama")
    expected, blocks = {}, {"default": 2, "middle": 1, "lower": 0}
    with torch.no_grad():
        for name in blocks:
            model.set_adapter(name)
            expected[name] = model(**inputs)
        model.set_adapter("default")
        with reuse_prefix(model, tmp_path) as prefix:
            for name in (*blocks, *blocks):
                model.set_adapter(name)
                assert_same(model(**inputs), expected[name], inputs)
                assert prefix.blocks == blocks[name]
            assert (prefix.rows_read, prefix.rows_computed, prefix.plain_calls) == (6, 6, 2)
            model.set_adapter("default")
            with model.disable_adapter():
                disabled = model(**inputs)
            assert prefix.rows_read == 9
        with model.disable_adapter():
            assert_same(disabled, model(**inputs), inputs)
