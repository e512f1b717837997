"""With the identity as its activation a bottleneck is a linear map, and merges into the one before it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from equations import layers, output, randomise
from peft import LoraConfig, get_peft_model
from tiny_models import Residual, tiny_inputs, tiny_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from peft_bottleneck import HoulsbyConfig, PfeifferConfig

EXACT: dict[str, Any] = dict(atol=2e-5, rtol=1e-4)


def linear(model_type: str = "bert", **options: Any) -> Any:
    config = HoulsbyConfig(non_linearity="identity", **options)
    return randomise(get_peft_model(tiny_model(model_type), config)).eval()


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [part.clone() for layer in layers(model) for part in layer.base_layer.parameters()]


@pytest.mark.parametrize("scaling", [0.7, "learned", "channel"])
@pytest.mark.parametrize("model_type", ["bert", "gpt2", "opt", "t5"])
def test_merge_and_unmerge(model_type: str, scaling: Any) -> None:
    """GPT-2's projections are `Conv1D`, T5's have no biases."""
    inputs = tiny_inputs(model_type)
    model = linear(model_type, scaling=scaling, use_bias=model_type != "t5")
    expected, before = output(model, inputs), weights(model)
    with model.disable_adapter():
        plain = output(model, inputs)
    assert not torch.allclose(expected, plain, atol=1e-3)
    model.merge_adapter()
    assert not any(torch.equal(*pair) for pair in zip(weights(model)[::2], before[::2], strict=True))
    torch.testing.assert_close(output(model, inputs), expected, **EXACT)
    with model.disable_adapter():
        assert torch.equal(output(model, inputs), plain)
    assert torch.equal(output(model, inputs), expected)  # leaving the context has unmerged, as for LoRA
    model.merge_adapter()
    model.unmerge_adapter()
    assert all(torch.equal(*pair) for pair in zip(weights(model), before, strict=True))
    assert torch.equal(output(model, inputs), expected)
    merged = model.merge_and_unload(safe_merge=True)
    assert not layers(merged)
    torch.testing.assert_close(output(merged, inputs), expected, **EXACT)


def test_the_merged_weights_are_those_of_the_equation() -> None:
    torch.manual_seed(0)
    config = HoulsbyConfig(target_modules=["f"], bottleneck_size=5, non_linearity="identity", scaling=0.5)
    model = randomise(get_peft_model(Residual(12), config))
    f, maps = model.f.base_layer, model.f.maps("default")
    weight, bias = f.weight.double(), f.bias.double()
    eye, product = torch.eye(12).double(), maps["up"].weight.double() @ maps["down"].weight.double()
    wanted_bias = (eye + 0.5 * product) @ bias + 0.5 * (maps["up"].weight @ maps["down"].bias + maps["up"].bias)
    merged = model.merge_and_unload()
    torch.testing.assert_close(merged.f.weight.double(), (eye + 0.5 * product) @ weight, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(merged.f.bias.double(), wanted_bias, atol=1e-6, rtol=1e-5)


def test_pfeiffer_on_a_projection() -> None:
    inputs = tiny_inputs("bert")
    config = PfeifferConfig(target_modules=["intermediate.dense"], non_linearity="identity")
    model = randomise(get_peft_model(tiny_model("bert"), config)).eval()
    expected = output(model, inputs)
    torch.testing.assert_close(output(model.merge_and_unload(), inputs), expected, **EXACT)


@pytest.mark.filterwarnings("ignore:Already following adapters were merged")
def test_several_adapters_merge_in_their_order() -> None:
    inputs = tiny_inputs("bert")
    model = linear(init_weights=False)
    model.add_adapter("other", HoulsbyConfig(non_linearity="identity", bottleneck_size=3, init_weights=False))
    outputs = {}
    for order in (["default", "other"], ["other", "default"], ["other"]):
        model.base_model.set_adapter(order)
        outputs[tuple(order)] = output(model, inputs)
        model.merge_adapter()
        torch.testing.assert_close(output(model, inputs), outputs[tuple(order)], **EXACT)
        model.unmerge_adapter()
    assert not torch.allclose(outputs["default", "other"], outputs["other", "default"], atol=1e-5)
    model.merge_adapter(["default"])
    model.merge_adapter(["other"])
    torch.testing.assert_close(output(model, inputs), outputs["default", "other"], **EXACT)
    model.unmerge_adapter()
    model.base_model.set_adapter(["other"])
    merged = model.merge_and_unload(adapter_names=["default"])
    assert not torch.allclose(output(merged, inputs), outputs["default", "other"], atol=1e-3)


def test_half_precision_is_merged_in_float32() -> None:
    torch.manual_seed(0)
    config = HoulsbyConfig(target_modules=["f"], bottleneck_size=5, non_linearity="identity")
    model = randomise(get_peft_model(Residual(12).to(torch.bfloat16), config))
    f, maps = model.f.base_layer, model.f.maps("default")
    exact = f.weight.float() + maps["up"].weight.float() @ maps["down"].weight.float() @ f.weight.float()
    merged = model.merge_and_unload()
    assert merged.f.weight.dtype == torch.bfloat16
    assert torch.equal(merged.f.weight, exact.to(torch.bfloat16))


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_a_safe_merge_of_broken_weights_changes_nothing(broken: float) -> None:
    model = linear()
    layer = layers(model)[0]
    layer.maps("default")["up"].weight.data[0, 0] = broken
    before = weights(model)
    with pytest.raises(ValueError, match="NaNs detected in the merged weights. The adapter default seems"):
        model.merge_adapter(safe_merge=True)
    assert all(torch.equal(*pair) for pair in zip(weights(model), before, strict=True))
    assert not layer.merged


REFUSED: list[tuple[Any, str]] = [
    (HoulsbyConfig(), "Houlsby adapters cannot be merged: no weights of the base model compute what"),
    (HoulsbyConfig(non_linearity="identity", bottleneck="gated"), "non_linearity='identity'"),
    (HoulsbyConfig(non_linearity="identity", bottleneck="conv"), "non_linearity='identity'"),
    (PfeifferConfig(), "Pfeiffer adapters cannot be merged: no weights of the base model compute what"),
    (
        PfeifferConfig(non_linearity="identity"),
        "they do not read the output of a linear layer of the base model writes",
    ),
]


@pytest.mark.parametrize(("config", "reason"), REFUSED)
def test_what_cannot_be_merged_says_so_as_pefts_own_methods_do(config: Any, reason: str) -> None:
    model = get_peft_model(tiny_model("bert"), config)
    for merge in (model.merge_adapter, model.merge_and_unload, layers(model)[0].merge):
        with pytest.raises(NotImplementedError, match="cannot be merged: ") as refused:
            merge()
        assert reason.partition(": ")[2] in str(refused.value)
    assert layers(model)
    assert not any(layer.merged for layer in layers(model))
    assert not layers(model.unload())


def test_biases_without_a_place_are_refused_before_anything_changes() -> None:
    model = linear("llama", use_bias=True)
    before = weights(model)
    with pytest.raises(NotImplementedError, match=r"no place for their biases; set use_bias=False .*layers\.0"):
        model.merge_adapter()
    assert all(torch.equal(*pair) for pair in zip(weights(model), before, strict=True))


@pytest.mark.filterwarnings("ignore:You are trying to modify", "ignore:Already found a .peft_config.")
def test_a_layer_of_another_tuner_inside_is_refused() -> None:
    model = tiny_model("bert")
    model = get_peft_model(model, LoraConfig(target_modules=["output.dense"], init_lora_weights=False))
    model = get_peft_model(model.base_model.model, HoulsbyConfig(non_linearity="identity"))
    with pytest.raises(NotImplementedError, match="do not read the output of a linear layer"):
        model.merge_adapter()


def test_conv1d_is_among_the_bases() -> None:
    assert all(isinstance(layer.base_layer, Conv1D) for layer in layers(linear("gpt2")))
