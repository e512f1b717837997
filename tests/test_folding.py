"""Parallel adapters folded into the FFN: equal outputs, also in a process that knows nothing of adapters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from equations import METHODS, layers, output, randomise
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tiny_models import CONFIGURATIONS, tiny_inputs, tiny_model

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig

# No place for a wider FFN: the configuration keeps no width or one for several FFNs, or it is a mixture of experts.
NOT_FOLDABLE = ("bloom", "mixtral", "mobilebert")
FOLDABLE = sorted(CONFIGURATIONS.keys() - set(NOT_FOLDABLE))
GATED = {
    "t5_gated": ("t5", {"feed_forward_proj": "gated-gelu"}),
    "t5": ("t5", {}),
    "opt_post": ("opt", {"do_layer_norm_before": False}),
}


def foldable(model_type: str, changes: dict[str, Any] | None = None, **options: Any) -> Any:
    model = tiny_model(model_type, **(changes or {}))
    return randomise(get_peft_model(model, ParallelAdapterConfig(foldable=True, **options))).eval()


def assert_close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("model_type", FOLDABLE)
def test_folded_model_equals_the_adapted_one(model_type: str) -> None:
    inputs = tiny_inputs(model_type)
    model = foldable(model_type, scaling="channel")
    expected = output(model, inputs)
    plain = output(tiny_model(model_type), inputs)
    assert not torch.allclose(expected, plain, atol=1e-3)
    folded = model.merge_and_unload()
    assert not layers(folded)
    assert_close(output(folded, inputs), expected)
    # What its configuration says is what it is: such a model can be built, and takes the weights.
    twin = type(folded)(folded.config)
    twin.load_state_dict(folded.state_dict())
    assert torch.equal(output(twin.eval(), inputs), output(folded, inputs))


@pytest.mark.parametrize("case", ["bert", "gpt2", "llama", "opt", "bart", "vit", *GATED])
def test_a_process_without_adapter_code_loads_it(case: str, tmp_path: Path) -> None:
    model_type, changes = GATED.get(case, (case, {}))
    inputs = tiny_inputs(model_type)
    model = foldable(model_type, changes)
    expected = output(model, inputs)
    folded = model.merge_and_unload()
    folded.save_pretrained(tmp_path)
    save_file(inputs, tmp_path / "inputs.safetensors")
    script = """
import sys, torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel
model = AutoModel.from_pretrained(".").eval()
with torch.no_grad():
    output = model(**load_file("inputs.safetensors"))[0]
save_file({"output": output.contiguous()}, "output.safetensors")
assert not any("peft_bottleneck" in name for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, cwd=tmp_path)
    assert_close(load_file(tmp_path / "output.safetensors")["output"], expected)


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "llama", "phi3"])
def test_merge_and_unmerge_in_place(model_type: str) -> None:
    inputs = tiny_inputs(model_type)
    model = foldable(model_type)
    expected = output(model, inputs)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    model.merge_adapter()
    assert_close(output(model, inputs), expected)
    model.unmerge_adapter()
    assert torch.equal(output(model, inputs), expected)
    after = model.state_dict()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())
    model.merge_adapter()
    with model.disable_adapter():
        assert torch.equal(output(model, inputs), output(tiny_model(model_type), inputs))
    model.merge_adapter()
    with pytest.warns(UserWarning, match="already merged"):
        folded = model.merge_and_unload()
    assert_close(output(folded, inputs), expected)


def test_unload_after_merge_gives_the_base_back() -> None:
    inputs = tiny_inputs("gpt2")
    model = foldable("gpt2")
    model.merge_adapter()
    assert torch.equal(output(model.unload(), inputs), output(tiny_model("gpt2"), inputs))


@pytest.mark.parametrize("model_type", ["bert", "llama"])
def test_several_active_adapters_fold_together(model_type: str) -> None:
    inputs = tiny_inputs(model_type)
    model = get_peft_model(tiny_model(model_type), ParallelAdapterConfig(foldable=True, init_weights=False))
    model.add_adapter("second", ParallelAdapterConfig(foldable=True, init_weights=False, bottleneck_size=3))
    model.base_model.set_adapter(["default", "second"])
    expected = output(model.eval(), inputs)
    folded = model.merge_and_unload()
    assert folded.config.intermediate_size == 64 + 16 + 3
    assert_close(output(folded, inputs), expected)


def test_blocks_without_an_adapter_get_neurons_that_do_nothing() -> None:
    for model_type in ("gpt2", "bart"):
        inputs = tiny_inputs(model_type)
        model = foldable(model_type, layers_to_transform=[1], bottleneck_size_pattern={r"decoder\.layers\.1\.fc2": 3})
        expected = output(model, inputs)
        folded = model.merge_and_unload()
        assert_close(output(folded, inputs), expected)
        twin = type(folded)(folded.config)
        twin.load_state_dict(folded.state_dict())
        assert_close(output(twin.eval(), inputs), expected)


def test_a_saved_foldable_adapter_folds_after_loading(tmp_path: Path) -> None:
    inputs = tiny_inputs("llama")
    model = foldable("llama")
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny_model("llama"), str(tmp_path)).eval()
    assert torch.equal(output(loaded, inputs), output(model, inputs))
    assert_close(output(loaded.merge_and_unload(), inputs), output(model, inputs))


def test_foldable_chooses_what_the_ffn_is() -> None:
    chosen = {name: foldable(name).peft_config["default"] for name in ("bert", "llama", "gpt2", "t5", "gemma", "phi3")}
    assert {name: (c.non_linearity, c.bottleneck, c.use_bias) for name, c in chosen.items()} == {
        "bert": ("gelu", "plain", True),
        "llama": ("silu", "gated", False),
        "gpt2": ("gelu_new", "plain", True),
        "t5": ("relu", "plain", False),
        "gemma": ("gelu_new", "gated", False),
        "phi3": ("silu", "gated", False),
    }


REFUSED: dict[str, tuple[str, Any, str]] = {
    "another activation": (
        "bert",
        ParallelAdapterConfig(),
        r"encoder\.layer\.0 activates by gelu, the bottleneck by relu; set non_linearity='gelu'",
    ),
    "a plain bottleneck in a gated FFN": (
        "llama",
        ParallelAdapterConfig(non_linearity="silu"),
        r"the FFN of layers\.0 is gated, the bottleneck plain; set bottleneck='gated'",
    ),
    "the residual stream": (
        "gpt2",
        ParallelAdapterConfig(non_linearity="gelu_new", parallel_input="residual"),
        r"it reads h\.0\.ln_2, not the FFN's input; set parallel_input='ffn'",
    ),
    "a bias without a place": (
        "llama",
        ParallelAdapterConfig(non_linearity="silu", bottleneck="gated"),
        r"the FFN of layers\.0 has no place for the bias of 'down'; set use_bias=False",
    ),
    "not an FFN": (
        "bert",
        ParallelAdapterConfig(target_modules=["query"]),
        r"query is not the FFN of a transformer block",
    ),
    "a mixture of experts": ("mixtral", ParallelAdapterConfig(), r"layers\.0\.mlp is not the FFN"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_folded_says_why_and_changes_nothing(case: str) -> None:
    model_type, config, message = REFUSED[case]
    inputs = tiny_inputs(model_type)
    model = randomise(get_peft_model(tiny_model(model_type), config)).eval()
    expected = output(model, inputs)
    for attempt in (model.merge_and_unload, model.merge_adapter):
        with pytest.raises(ValueError, match="'default' cannot be folded: .*" + message):
            attempt()
        assert torch.equal(output(model, inputs), expected)
    assert torch.equal(output(model.unload(), inputs), output(tiny_model(model_type), inputs))


@pytest.mark.filterwarnings("ignore:You are trying to modify a model with PEFT:UserWarning")
@pytest.mark.filterwarnings("ignore:Already found a `peft_config` attribute:UserWarning")
def test_another_tuner_does_not_fold() -> None:
    """All FFNs and the configuration become wider together, which one layer's `merge()` cannot do."""
    model = foldable("bert")
    with pytest.raises(ValueError, match="'default' cannot be folded layer by layer.*Fold it first"):
        layers(model)[0].merge()
    inputs, base = tiny_inputs("bert"), model.base_model.model
    with_lora = get_peft_model(base, LoraConfig(target_modules=["query"], init_lora_weights=False)).eval()
    expected = output(with_lora, inputs)
    with pytest.raises(ValueError, match="cannot be folded layer by layer or by another tuner"):
        with_lora.merge_and_unload()
    assert_close(output(with_lora, inputs), expected)


def test_no_width_in_the_configuration() -> None:
    inputs = tiny_inputs("bloom")
    model = foldable("bloom")
    expected = output(model, inputs)
    with pytest.raises(ValueError, match="BloomConfig does not keep the width"):
        model.merge_and_unload()
    assert torch.equal(output(model, inputs), expected)
    model.merge_adapter()
    assert_close(output(model, inputs), expected)


@pytest.mark.parametrize("method", ["houlsby", "pfeiffer"])
def test_sequential_adapters_cannot_be_merged(method: str) -> None:
    model = get_peft_model(tiny_model("bert"), METHODS[method]())
    with pytest.raises(NotImplementedError, match=f"{method.capitalize()} adapters cannot be merged"):
        model.merge_and_unload()


def test_foldable_without_an_ffn_is_refused() -> None:
    with pytest.raises(ValueError, match="foldable=True: MixtralModel has no FFN"):
        get_peft_model(tiny_model("mixtral"), ParallelAdapterConfig(foldable=True))
    with pytest.raises(ValueError, match="foldable=True needs parallel_input='ffn'"):
        ParallelAdapterConfig(foldable=True, parallel_input="residual")


def test_safe_merge_finds_nan() -> None:
    model = foldable("bert")
    layers(model)[-1].maps("default")["up"].weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="NaNs detected"):
        model.merge_and_unload(safe_merge=True)


def test_half_precision() -> None:
    inputs = tiny_inputs("llama")
    model = randomise(
        get_peft_model(tiny_model("llama").to(torch.bfloat16), ParallelAdapterConfig(foldable=True))
    ).eval()
    expected = output(model, inputs)
    folded = model.merge_and_unload()
    assert {parameter.dtype for parameter in folded.parameters()} == {torch.bfloat16}
    torch.testing.assert_close(output(folded, inputs), expected, atol=0.15, rtol=0.1)


def test_the_default_is_not_foldable() -> None:
    assert ParallelAdapterConfig().foldable is False
    assert not hasattr(HoulsbyConfig(), "foldable")


def test_merged_adapters_leave_no_choice_for_each_row() -> None:
    inputs = tiny_inputs("bert")
    model = foldable("bert")
    model.merge_adapter()
    with pytest.raises(ValueError, match="Cannot pass `adapter_names` when there are merged adapters"):
        model(**inputs, adapter_names=["default", "__base__", "default"])
