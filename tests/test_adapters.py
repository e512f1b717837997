"""What users of several adapters do with them: combine, train norms along, generate, tell PEFT's own tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from equations import METHODS, layers, output, randomise
from peft import PeftModel, get_peft_model
from tiny_models import tiny_inputs, tiny_model
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForSequenceClassification

from peft_bottleneck import HoulsbyConfig, PfeifferConfig


def pair(method: str, **options: Any) -> Any:
    config = METHODS[method]
    model = get_peft_model(tiny_model("bert"), config(init_weights=False, scaling="learned"), adapter_name="one")
    model.add_adapter("two", config(init_weights=False, **{"scaling": "learned"} | options))
    return model.eval()


@pytest.mark.parametrize("method", METHODS)
def test_weighted_sum_of_parameters(method: str) -> None:
    model = pair(method)
    model.base_model.add_weighted_adapter(["one", "two"], [0.25, 0.75], "both")
    state = model.state_dict()
    summed = [name for name in state if ".both" in name]
    assert len(summed) == len([name for name in state if ".one" in name])
    for name in summed:
        expected = 0.25 * state[name.replace(".both", ".one")] + 0.75 * state[name.replace(".both", ".two")]
        torch.testing.assert_close(state[name], expected)
    model.base_model.add_weighted_adapter(["one"], [1.0], "alone")
    model.set_adapter("alone")
    inputs = tiny_inputs("bert")
    copied = output(model, inputs)
    model.set_adapter("one")
    assert torch.equal(output(model, inputs), copied)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bottleneck_size": 3}, "differ in their modules or sizes"),
        ({"layers_to_transform": [0]}, "differ in their modules or sizes"),
        ({"non_linearity": "tanh"}, r"differ in non_linearity: \['relu', 'tanh'\]"),
        ({"scaling": 2.0}, r"differ in scaling: \['learned', 2.0\]"),
    ],
)
def test_what_has_no_sum(options: dict[str, Any], message: str) -> None:
    model = pair("pfeiffer", **options)
    names = set(model.state_dict())
    with pytest.raises(ValueError, match=message):
        model.base_model.add_weighted_adapter(["one", "two"], [0.5, 0.5], "both")
    assert set(model.state_dict()) == names
    with pytest.raises(ValueError, match=r"Unknown adapters \['three'\]"):
        model.base_model.add_weighted_adapter(["one", "three"], [0.5, 0.5], "both")
    with pytest.raises(ValueError, match="2 adapters need as many weights, got 1"):
        model.base_model.add_weighted_adapter(["one", "two"], [0.5], "both")
    with pytest.raises(ValueError, match="already"):
        model.base_model.add_weighted_adapter(["one"], [0.5], "two")


def test_a_sum_takes_over_the_only_head_and_refuses_two() -> None:
    model = get_peft_model(
        tiny_model("bert", AutoModelForSequenceClassification), HoulsbyConfig(), adapter_name="plain"
    )
    model.add_adapter("headed", HoulsbyConfig(modules_to_save=["classifier"]))
    model.set_adapter("headed")
    randomise(model)
    model.base_model.add_weighted_adapter(["plain", "headed"], [0.5, 0.5], "sum")
    heads = model.base_model.model.classifier.modules_to_save
    assert torch.equal(heads["sum"].weight, heads["headed"].weight)
    assert not torch.equal(heads["sum"].weight, model.base_model.model.classifier.original_module.weight)
    assert model.peft_config["sum"].modules_to_save == ["classifier"]
    assert model.peft_config["plain"].modules_to_save is None
    with pytest.raises(ValueError, match="target the same module with modules_to_save, but found 1 such"):
        model.base_model.add_weighted_adapter(["sum", "headed"], [0.5, 0.5], "again")


@pytest.mark.parametrize("model_type", ["bert", "llama", "t5"])
def test_norms_are_trained_saved_and_switched(model_type: str, tmp_path: Path) -> None:
    inputs = tiny_inputs(model_type)
    plain = output(tiny_model(model_type), inputs)
    model = get_peft_model(tiny_model(model_type), HoulsbyConfig(train_layernorm=True)).eval()
    assert torch.equal(output(model, inputs), plain)
    trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    norms = [name for name in trainable if "houlsby_" not in name]
    assert norms
    assert all("norm" in name.lower() for name in norms)
    randomise(model)
    expected = output(model, inputs)
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny_model(model_type), str(tmp_path)).eval()
    assert torch.equal(output(loaded, inputs), expected)
    with loaded.disable_adapter():
        assert torch.equal(output(loaded, inputs), plain)
    loaded.add_adapter("other", HoulsbyConfig())
    loaded.set_adapter("other")
    assert torch.equal(output(loaded, inputs), plain)
    loaded.set_adapter("default")
    assert torch.equal(output(loaded, inputs), expected)
    second = HoulsbyConfig(train_layernorm=True)
    loaded.add_adapter("second", second)  # the norms are inside the wrappers of the first one's by now
    assert second.modules_to_save == loaded.peft_config["default"].modules_to_save
    loaded.set_adapter("second")
    assert torch.equal(output(loaded, inputs), plain)
    assert len([name for name, parameter in loaded.named_parameters() if parameter.requires_grad]) == len(trainable)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model_type", ["gpt2", "llama", "opt", "t5", "bart"])
def test_generation_with_a_cache_equals_generation_without(model_type: str, method: str) -> None:
    encoder_decoder = model_type in ("t5", "bart")
    auto_class = AutoModelForSeq2SeqLM if encoder_decoder else AutoModelForCausalLM
    model = randomise(get_peft_model(tiny_model(model_type, auto_class), METHODS[method]())).eval()
    prompt = {name: value[[0, 2]] for name, value in tiny_inputs(model_type).items() if not name.startswith("decoder")}
    options: dict[str, Any] = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    for beams in (1, 2):
        with_cache = model.generate(**prompt, **options, num_beams=beams, use_cache=True)
        assert torch.equal(with_cache, model.generate(**prompt, **options, num_beams=beams, use_cache=False))
    model.add_adapter("other", METHODS[method](init_weights=False))
    expected = []
    for row, name in enumerate(("other", "default")):
        model.set_adapter(name)
        one = {key: value[row : row + 1] for key, value in prompt.items()}
        expected.append(model.generate(**one, **options, num_beams=2)[0])
    mixed = model.generate(**prompt, **options, num_beams=2, adapter_names=["other", "default"])
    for row, tokens in enumerate(expected):
        assert torch.equal(mixed[row, : len(tokens)], tokens)


def test_heads_of_rows() -> None:
    """In a mixed batch each row has its adapter's own head."""
    inputs = tiny_inputs("bert")
    config = {"task_type": "SEQ_CLS", "init_weights": False}
    base = tiny_model("bert", AutoModelForSequenceClassification)
    model = get_peft_model(base, PfeifferConfig(**config), adapter_name="one")
    model.add_adapter("two", PfeifferConfig(**config))
    randomise(model)
    with torch.no_grad():
        model.base_model.model.classifier.modules_to_save["two"].bias.add_(5.0)
    model.eval()
    rows = []
    for row, name in enumerate(("one", "two", "one")):
        model.set_adapter(name)
        rows.append(output(model, inputs)[row])
    with torch.no_grad():
        mixed = model(**inputs, adapter_names=["one", "two", "one"]).logits
    torch.testing.assert_close(mixed, torch.stack(rows), atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_tied_embeddings_are_untouched(method: str) -> None:
    model = get_peft_model(tiny_model("gpt2", AutoModelForCausalLM), METHODS[method]())
    base = model.base_model.model
    assert base.lm_head.weight is base.transformer.wte.weight
    assert not base.lm_head.weight.requires_grad


def test_what_is_pushed_to_the_hub(tmp_path: Path) -> None:
    model = get_peft_model(tiny_model("llama", AutoModelForCausalLM), HoulsbyConfig(task_type="CAUSAL_LM"))
    model.base_model.model.config._name_or_path = "org/base-model"
    model.save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "base_model: org/base-model" in card
    assert "library_name: peft" in card
    written = json.loads((tmp_path / "adapter_config.json").read_text(encoding="utf-8"))
    assert written["peft_type"] == "HOULSBY"
    assert {file.name for file in tmp_path.iterdir()} == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    }


def test_number_of_trainable_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    model = get_peft_model(tiny_model("bert"), HoulsbyConfig(bottleneck_size=4))
    per_bottleneck = (32 * 4 + 4) + (4 * 32 + 32)
    assert model.get_nb_trainable_parameters()[0] == len(layers(model)) * per_bottleneck == 4 * per_bottleneck
    model.print_trainable_parameters()
    assert f"trainable params: {4 * per_bottleneck:,}" in capsys.readouterr().out
