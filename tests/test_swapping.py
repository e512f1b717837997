"""Another scale for a while, and another adapter's weights in place, without another compilation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from equations import METHODS, layers, output, randomise
from peft import LoraConfig, PeftModel, get_peft_model
from tiny_models import tiny_inputs, tiny_model
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from transformers import AutoModelForSequenceClassification

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, hotswap_adapter, rescale_adapter_scale

INPUTS = tiny_inputs("bert")


def adapted(config: Any, seed: int = 0, **options: Any) -> Any:
    return randomise(get_peft_model(tiny_model("bert", **options), config), seed).eval()


def saved(folder: Path, config: Any, seed: int = 1) -> tuple[Path, Tensor]:
    """A saved adapter and what it computes."""
    model = adapted(config, seed)
    model.save_pretrained(folder)
    return folder, output(PeftModel.from_pretrained(tiny_model("bert"), folder).eval(), INPUTS)


@pytest.mark.parametrize("scaling", [0.5, "learned", "channel"])
@pytest.mark.parametrize("method", METHODS)
def test_rescaling_holds_as_long_as_its_context(method: str, scaling: Any) -> None:
    model = adapted(METHODS[method](scaling=scaling))
    before = output(model, INPUTS)
    with torch.no_grad():
        for layer in layers(model):
            if isinstance(scaling, str):
                layer._part("scaling")["default"].mul_(0.25)
            else:
                layer.bottlenecks["default"].scale = 0.25 * scaling
        expected = output(model, INPUTS)
        for layer in layers(model):
            if isinstance(scaling, str):
                layer._part("scaling")["default"].mul_(4)
            else:
                layer.bottlenecks["default"].scale = scaling
    with rescale_adapter_scale(model, 0.5), rescale_adapter_scale(model, 0.5):
        torch.testing.assert_close(output(model, INPUTS), expected)
    assert torch.equal(output(model, INPUTS), before)
    with pytest.raises(ZeroDivisionError), rescale_adapter_scale(model, 0.5):
        _ = 1 / 0
    assert torch.equal(output(model, INPUTS), before)
    with rescale_adapter_scale(model, 0):
        torch.testing.assert_close(output(model, INPUTS), output(tiny_model("bert"), INPUTS))


def test_what_cannot_be_rescaled() -> None:
    with (
        pytest.raises(TypeError, match="multiplier must be a number, got '2'"),
        rescale_adapter_scale(
            adapted(HoulsbyConfig()),
            "2",  # type: ignore[arg-type]
        ),
    ):
        pass
    lora = get_peft_model(tiny_model("bert"), LoraConfig())
    with pytest.raises(ValueError, match="PeftModel has no bottleneck adapters"), rescale_adapter_scale(lora, 2):
        pass


SMALLER: dict[str, dict[str, Any]] = {
    "same": {},
    "fewer neurons": {"bottleneck_size": 2},
    "fewer blocks": {"layers_to_transform": [1]},
    "without biases": {"use_bias": False},
    "another scale": {"scaling": 3.0},
}


@pytest.mark.parametrize("form", ["plain", "gated", "conv"])
@pytest.mark.parametrize("case", SMALLER)
@pytest.mark.parametrize("method", METHODS)
def test_the_swapped_adapter_answers(method: str, case: str, form: str, tmp_path: Path) -> None:
    common: dict[str, Any] = dict(bottleneck_size=4, bottleneck=form, non_linearity="sigmoid")
    folder, expected = saved(tmp_path, METHODS[method](**{**common, **SMALLER[case]}))
    model = adapted(METHODS[method](**common))
    addresses = [parameter.data_ptr() for parameter in model.parameters()]
    assert not torch.allclose(output(model, INPUTS), expected, atol=1e-3)
    hotswap_adapter(model, folder)
    torch.testing.assert_close(output(model, INPUTS), expected, atol=2e-5, rtol=1e-4)
    assert [parameter.data_ptr() for parameter in model.parameters()] == addresses


@pytest.mark.parametrize("method", METHODS)
def test_batches_of_several_adapters_see_the_swap_and_the_scale(method: str, tmp_path: Path) -> None:
    """Their weights are stacked then, and the parameters are slices of the stack."""
    folder, expected = saved(tmp_path, METHODS[method]())
    model = adapted(METHODS[method]())
    model.add_adapter("other", METHODS[method]())
    rows = ["default", "other", "__base__"]
    with torch.no_grad():
        model(**INPUTS, adapter_names=rows)
        hotswap_adapter(model, folder)
        torch.testing.assert_close(model(**INPUTS, adapter_names=rows)[0][0], expected[0], atol=2e-5, rtol=1e-4)
        with rescale_adapter_scale(model, 0):
            answer = model(**INPUTS, adapter_names=rows)[0]
    torch.testing.assert_close(answer, output(tiny_model("bert"), INPUTS), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("scaling", ["learned", "channel"])
def test_a_trained_scale_is_swapped_too(scaling: str, tmp_path: Path) -> None:
    folder, expected = saved(tmp_path, HoulsbyConfig(scaling=scaling))
    model = adapted(HoulsbyConfig(scaling=scaling, layers_to_transform=[0, 1]))
    hotswap_adapter(model, str(folder), adapter_name="default")
    torch.testing.assert_close(output(model, INPUTS), expected)


def test_a_task_head_is_swapped_too(tmp_path: Path) -> None:
    config = dict(task_type="SEQ_CLS", modules_to_save=["classifier"])
    base = lambda: tiny_model("bert", AutoModelForSequenceClassification)  # noqa: E731
    first = randomise(get_peft_model(base(), HoulsbyConfig(**config)), 1).eval()
    first.save_pretrained(tmp_path)
    second = randomise(get_peft_model(base(), HoulsbyConfig(**config)), 2).eval()
    hotswap_adapter(second, tmp_path)
    assert torch.equal(output(second, INPUTS), output(first, INPUTS))


@pytest.mark.parametrize("method", METHODS)
def test_a_compiled_model_is_not_compiled_again(method: str, tmp_path: Path) -> None:
    torch._dynamo.reset()
    folders = [
        saved(tmp_path / str(seed), METHODS[method](bottleneck_size=size, scaling=seed), seed)
        for seed, size in ((1, 4), (2, 3), (3, 1))
    ]
    model = adapted(METHODS[method](bottleneck_size=4))
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, backend=counter)
    output(compiled, INPUTS)
    compilations = counter.frame_count
    assert compilations > 0
    for folder, expected in folders:
        hotswap_adapter(compiled, folder)
        torch.testing.assert_close(output(compiled, INPUTS), expected, atol=2e-5, rtol=1e-4)
    assert counter.frame_count == compilations


REFUSED: list[tuple[Any, str]] = [
    (ParallelAdapterConfig(), "The saved adapter is a ParallelAdapterConfig, the loaded one a HoulsbyConfig"),
    (HoulsbyConfig(non_linearity="relu"), "differ in non_linearity: the saved one has 'relu', the loaded one 'swish'"),
    (HoulsbyConfig(bottleneck="gated"), "differ in bottleneck: the saved one has 'gated', the loaded one 'plain'"),
    (HoulsbyConfig(scaling="learned"), "differ in scaling: the saved one has 'learned', the loaded one 1.0"),
    (HoulsbyConfig(bottleneck_size=3), r"houlsby_down.weight is \[3, 32\] in the saved adapter and \[2, 32\] in the"),
]


@pytest.mark.parametrize(("config", "message"), REFUSED)
def test_what_cannot_be_swapped_changes_nothing(config: Any, message: str, tmp_path: Path) -> None:
    folder, _ = saved(tmp_path, config)
    model = adapted(HoulsbyConfig())
    before = output(model, INPUTS)
    with pytest.raises(ValueError, match=message):
        hotswap_adapter(model, folder)
    assert torch.equal(output(model, INPUTS), before)


def test_other_refusals(tmp_path: Path) -> None:
    folder, _ = saved(tmp_path, HoulsbyConfig(non_linearity="identity"))
    model = adapted(HoulsbyConfig(non_linearity="identity"))
    with pytest.raises(ValueError, match=r"Unknown adapter 'other'; the model has \['default'\]"):
        hotswap_adapter(model, folder, adapter_name="other")
    model.merge_adapter()
    with pytest.raises(ValueError, match="Adapter 'default' is merged"):
        hotswap_adapter(model, folder)
    upper = adapted(HoulsbyConfig(non_linearity="identity", layers_to_transform=[1]))
    with pytest.raises(ValueError, match="The saved adapter has 8 weights that 'default' lacks"):
        hotswap_adapter(upper, folder)
