"""All three methods on 8-bit and 4-bit bases: trained, saved, loaded again, generated with, taken away, not folded."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from bases import BASES, METHODS, QUANTIZATIONS, adapted, batch, load, losses
from equations import layers, output, randomise
from peft import PeftModel, get_peft_model, prepare_model_for_kbit_training
from safetensors.torch import load_file

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig
from peft_bottleneck.quantization import mend_quantised_layers, prepare_for_training

pytestmark = [
    pytest.mark.filterwarnings("ignore:MatMul8bitLt. inputs will be cast:UserWarning"),
    # The name that both transformers 4 and 5 know.
    pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable. is deprecated:FutureWarning"),
]


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("base", BASES)
def test_train_save_and_load(base: str, method: str, quantization: str, tmp_path: Path) -> None:
    expected = losses(adapted(base, None, method), base)
    model = adapted(base, quantization, method)
    found = losses(model, base)
    assert expected[-1] < expected[0]
    assert found == pytest.approx(expected, abs=0.03)

    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert len(saved) == len(trained)
    assert sum(tensor.numel() for tensor in saved.values()) == sum(p.numel() for p in trained.values())
    head = {"base_model.model.classifier.weight", "base_model.model.classifier.bias"} if base == "minilm" else set()
    assert {name for name in saved if f".{method}_" not in name} == head
    assert {path.name for path in tmp_path.iterdir()} == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    }

    loss = output(model, batch(base))
    again = PeftModel.from_pretrained(load(base, quantization), tmp_path, is_trainable=True).eval()
    assert torch.equal(output(again, batch(base)), loss)
    for other in (quantization, None):  # with bitsandbytes' kernels for inference on the CPU, and on the full base
        inferring = PeftModel.from_pretrained(load(base, other), tmp_path).eval()
        assert output(inferring, batch(base)).item() == pytest.approx(loss.item(), abs=0.03)


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@pytest.mark.parametrize("method", METHODS)
def test_generate_disable_and_unload(method: str, quantization: str) -> None:
    prompt = {name: batch("llama")[name] for name in ("input_ids", "attention_mask")}
    options: dict[str, Any] = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    base = load("llama", quantization)
    mend_quantised_layers(base)
    plain, plain_text = output(base, prompt), base.generate(**prompt, **options)
    model = randomise(get_peft_model(base, METHODS[method]())).eval()
    text = model.generate(**prompt, **options)
    assert text.shape == (4, 15)
    assert not torch.equal(text, plain_text)
    # Token by token with a cache, as without one.
    logits = output(model, {"input_ids": text[:, :-1]})[:, 8:]
    chosen = logits.gather(-1, text[:, 9:, None])[..., 0]
    tolerance = 0.3 if quantization == "8bit" else 1e-4  # LLM.int8 rounds inputs by what stands beside them
    assert bool((logits.amax(-1) - chosen < tolerance).all())
    with model.disable_adapter():
        assert torch.equal(output(model, prompt), plain)
        assert torch.equal(model.generate(**prompt, **options), plain_text)
    unloaded = model.unload()
    assert not layers(unloaded)
    assert torch.equal(output(unloaded, prompt), plain)


def gradients(method: str, quantization: str, use_reentrant: bool | None) -> dict[str, torch.Tensor]:
    base = load("llama", quantization)
    base = prepare_model_for_kbit_training(
        base,
        use_gradient_checkpointing=use_reentrant is not None,
        gradient_checkpointing_kwargs=None if use_reentrant is None else {"use_reentrant": use_reentrant},
    )
    model = randomise(get_peft_model(base, METHODS[method]())).train()
    model(**batch("llama"), use_cache=False).loss.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@pytest.mark.parametrize("method", METHODS)
def test_prepared_for_training_with_either_checkpointing(method: str, quantization: str) -> None:
    expected = gradients(method, quantization, None)
    for use_reentrant in (True, False):
        found = gradients(method, quantization, use_reentrant)
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            assert bool(gradient.any()), name
            torch.testing.assert_close(found[name], gradient, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("use_reentrant", [None, True, False])
@pytest.mark.parametrize("quantization", [None, *QUANTIZATIONS])
@pytest.mark.parametrize("method", METHODS)
def test_our_preparation_keeps_types_and_gives_the_same_gradients(
    method: str, quantization: str | None, use_reentrant: bool | None
) -> None:
    def gradients_of(prepared: bool) -> dict[str, torch.Tensor]:
        base = load("llama", quantization)
        types = {name: parameter.dtype for name, parameter in base.named_parameters()}
        if prepared:
            checkpointing = {} if use_reentrant is None else {"use_reentrant": use_reentrant}
            base = prepare_for_training(base, gradient_checkpointing=use_reentrant is not None, **checkpointing)
            assert {name: parameter.dtype for name, parameter in base.named_parameters()} == types
            assert not any(parameter.requires_grad for parameter in base.parameters())
        model = randomise(get_peft_model(base, METHODS[method]())).train()
        model(**batch("llama"), use_cache=False).loss.backward()
        return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}

    expected, found = gradients_of(False), gradients_of(True)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert bool(gradient.any()), name
        torch.testing.assert_close(found[name], gradient)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_8_bit_products_keep_no_input_for_frozen_weights(dtype: torch.dtype) -> None:
    def kept(layer: Any) -> tuple[bool, torch.Tensor]:
        torch.manual_seed(0)
        x = torch.randn(2, 5, 64, dtype=dtype, requires_grad=True)
        hidden = x * 2
        alive = weakref.ref(hidden)
        y = layer(hidden)
        del hidden
        was_alive = alive() is not None
        y.square().sum().backward()
        assert x.grad is not None
        return was_alive, x.grad

    base = load("llama", "8bit").train()
    layer = base.model.layers[0].mlp.gate_proj
    held, expected = kept(layer)
    assert held
    for _ in range(2):  # the second call adds no second hook
        mend_quantised_layers(base)
        assert len(layer._forward_hooks) == 1
    held, gradient = kept(layer)
    assert not held
    assert torch.equal(gradient, expected)


@pytest.mark.parametrize("evaluated", ["base", "model"])
@pytest.mark.parametrize("method", METHODS)
def test_gradients_pass_4_bit_layers_after_an_evaluation(method: str, evaluated: str) -> None:
    """On CPUs with AVX512-BF16 bitsandbytes repacks what has been evaluated for a kernel without a backward pass."""
    inputs = batch("llama")

    def gradients_of(model: Any) -> torch.Tensor:
        model.train()(**inputs).loss.backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])

    expected = gradients_of(randomise(adapted("llama", "4bit", method)))
    base = load("llama", "4bit")
    if evaluated == "base":
        output(base, inputs)
    model = randomise(get_peft_model(base, METHODS[method]())).eval()
    if evaluated == "model":
        output(model, inputs)
    error = (gradients_of(model) - expected).norm() / expected.norm()
    assert error < (0.1 if evaluated == "base" else 1e-6)  # repacking has rounded the scales of the base


@pytest.mark.parametrize("autocast_adapter_dtype", [True, False])
@pytest.mark.parametrize("storage", [torch.uint8, torch.bfloat16])
@pytest.mark.parametrize("method", METHODS)
def test_adapters_of_a_4_bit_base_have_its_compute_type(
    method: str, storage: torch.dtype, autocast_adapter_dtype: bool
) -> None:
    base = load("llama", "4bit", bnb_4bit_compute_dtype=torch.bfloat16, bnb_4bit_quant_storage=storage)
    model = get_peft_model(base, METHODS[method](), autocast_adapter_dtype=autocast_adapter_dtype)
    dtype = torch.float32 if autocast_adapter_dtype else torch.bfloat16
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert {(parameter.dtype, parameter.device) for parameter in trained} == {(dtype, base.device)}
    model(**batch("llama")).loss.backward()
    assert all(parameter.grad is not None and bool(parameter.grad.isfinite().all()) for parameter in trained)


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_merging_is_refused(quantization: str) -> None:
    parallel = get_peft_model(load("llama", quantization), ParallelAdapterConfig(foldable=True))
    with pytest.raises(ValueError, match=r"the FFN of .*layers.0 is quantised; load the base model in full precision"):
        parallel.merge_and_unload()
    houlsby = get_peft_model(load("llama", quantization), HoulsbyConfig())
    with pytest.raises(NotImplementedError, match="Houlsby adapters cannot be merged"):
        houlsby.merge_and_unload()


def test_merging_is_refused_where_4_bits_are_stored_as_floating_point_numbers() -> None:
    base = load("llama", "4bit", bnb_4bit_quant_storage=torch.float32)
    with pytest.raises(ValueError, match="is quantised"):
        get_peft_model(base, ParallelAdapterConfig(foldable=True)).merge_and_unload()


@pytest.mark.parametrize("base", BASES)
def test_an_adapter_trained_on_4_bits_folds_into_the_full_base(base: str, tmp_path: Path) -> None:
    model = adapted(base, "4bit", "parallel_adapter", foldable=True)
    losses(model, base, steps=2)
    model.save_pretrained(tmp_path)
    on_full = PeftModel.from_pretrained(load(base, None), tmp_path).eval()
    inputs = batch(base) | {"labels": None}
    expected = output(on_full, inputs)
    folded = on_full.merge_and_unload()
    assert not layers(folded)
    torch.testing.assert_close(output(folded, inputs), expected, atol=1e-5, rtol=1e-4)
