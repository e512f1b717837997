"""The convolution over tokens: its equation, and what it must not see: padding, the future, another row's past."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from equations import METHODS, layers, output, randomise
from peft import PeftModel, get_peft_model
from tiny_models import CONFIGURATIONS, ENCODER_DECODERS, tiny_inputs, tiny_model
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, DynamicCache
from versions import CACHE_NAME

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig
from peft_bottleneck.convolution import TokenContext

DECODERS = ("gpt2", "opt", "llama", "bloom", "gemma2", "gpt_neox")


def adapted(model_type: str, method: str = "houlsby", auto_class: Any = None, **options: Any) -> Any:
    base = tiny_model(model_type) if auto_class is None else tiny_model(model_type, auto_class)
    return randomise(get_peft_model(base, METHODS[method](bottleneck="conv", **options))).eval()


def test_equation() -> None:
    model = adapted("bert", bottleneck_size=5, kernel_size=3)
    layer = layers(model)[0]
    maps, kernels = layer.maps("default"), layer._part("conv")["default"].weight[:, 0]
    inputs = {"input_ids": torch.arange(3, 11)[None]}
    seen: list[torch.Tensor] = []
    layer.base_layer.register_forward_hook(lambda module, args, y: seen.append(y))
    written: list[torch.Tensor] = []
    layer.register_forward_hook(lambda module, args, y: written.append(y))
    output(model, inputs)
    z = F.pad(maps["down"](seen[0][0]), (0, 0, 1, 1))
    convolved = sum(kernels[:, tap] * z[tap : tap + 8] for tap in range(3))
    torch.testing.assert_close(written[0][0], seen[0][0] + maps["up"](F.silu(convolved)))


def test_it_starts_as_the_plain_bottleneck() -> None:
    for model_type in ("bert", "llama"):
        inputs = tiny_inputs(model_type)
        outputs = []
        for form in ("plain", "conv"):
            torch.manual_seed(0)
            config = HoulsbyConfig(bottleneck=form, init_weights=False)
            model = get_peft_model(tiny_model(model_type), config).eval()
            for layer in layers(model):
                for linear in layer.maps("default").values():
                    nn.init.constant_(linear.weight, 0.05)
            outputs.append(output(model, inputs)[inputs["attention_mask"].bool()])
        torch.testing.assert_close(*outputs)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model_type", ["bert", "distilbert", "bart", "t5", "llama", "opt", "gpt2"])
def test_padding_is_not_seen(model_type: str, method: str) -> None:
    """On either side: a row alone gives what it gives in a padded batch."""
    model = adapted(model_type, method)
    ids = torch.randint(3, 99, (1, 6), generator=torch.Generator().manual_seed(0))
    extra = {"decoder_input_ids": torch.tensor([[1, 5, 6]])} if model_type in ENCODER_DECODERS else {}
    alone = output(model, {"input_ids": ids, **extra})
    for side in ("right", "left"):
        if side == "left" and model_type in ("bert", "distilbert", "bart"):
            continue  # learned positions count from the left, whatever the mask
        pad = (0, 3) if side == "right" else (3, 0)
        batch = {"input_ids": F.pad(ids, pad, value=7), "attention_mask": F.pad(torch.ones_like(ids), pad)}
        if model_type not in ("opt", "t5", "bart", "bert", "distilbert"):
            batch["position_ids"] = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        padded = output(model, {**batch, **extra})
        if model_type not in ENCODER_DECODERS:
            padded = padded[:, :6] if side == "right" else padded[:, 3:]
        torch.testing.assert_close(padded, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("model_type", sorted(CONFIGURATIONS.keys() - {"vit", "beit", "whisper"}))
def test_it_is_causal_where_the_model_is(model_type: str) -> None:
    """A changed last token changes earlier states with the adapter exactly where it does without."""

    def reaches_back(model: Any) -> bool:
        name = "decoder_input_ids" if model_type in ENCODER_DECODERS else "input_ids"
        inputs = {**tiny_inputs(model_type), "attention_mask": torch.ones(3, 11, dtype=torch.long)}
        changed = {**inputs, name: inputs[name].clone()}
        changed[name][:, -1] = 3 + (changed[name][:, -1] - 2) % 90
        with torch.no_grad():
            states = [
                (model(**x).text_model_output if model_type == "clip" else model(**x)).last_hidden_state
                for x in (inputs, changed)
            ]
        return not torch.allclose(states[0][:, :-1], states[1][:, :-1], atol=1e-6)

    assert reaches_back(adapted(model_type)) == reaches_back(tiny_model(model_type))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model_type", [*DECODERS, "t5", "bart"])
def test_generation_remembers(model_type: str, method: str) -> None:
    """Token by token, with beams that are reordered, and with left padding, as without a cache."""
    auto_class = AutoModelForSeq2SeqLM if model_type in ENCODER_DECODERS else AutoModelForCausalLM
    model = adapted(model_type, method, auto_class)
    prompt = {
        "input_ids": torch.tensor([[5, 6, 7, 8, 9], [0, 0, 11, 12, 13]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]]),
    }
    for beams in (1, 3):
        options: dict[str, Any] = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "num_beams": beams}
        scores = [
            model.generate(**prompt, **options, use_cache=cached, output_scores=True, return_dict_in_generate=True)
            for cached in (True, False)
        ]
        assert torch.equal(scores[0].sequences, scores[1].sequences)
        for with_cache, without in zip(scores[0].scores, scores[1].scores, strict=True):
            torch.testing.assert_close(with_cache, without, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "opt"])
@pytest.mark.parametrize("given", ["made by the model", "empty"])
def test_a_cache_by_hand(model_type: str, given: str) -> None:
    model = adapted(model_type, auto_class=AutoModelForCausalLM)
    ids = torch.arange(3, 11)[None]
    with torch.no_grad():
        expected = model(ids).logits
        first = model(ids[:, :5], use_cache=True, **{CACHE_NAME: DynamicCache() if given == "empty" else None})
        parts = [first.logits]
        cache = getattr(first, CACHE_NAME)
        for position in range(5, 8):
            step = model(ids[:, position : position + 1], use_cache=True, **{CACHE_NAME: cache})
            parts.append(step.logits)
            cache = getattr(step, CACHE_NAME)
    torch.testing.assert_close(torch.cat(parts, dim=1), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_save_load_unload(method: str, tmp_path: Path) -> None:
    inputs = tiny_inputs("llama")
    model = adapted("llama", method)
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny_model("llama"), str(tmp_path)).eval()
    assert torch.equal(output(loaded, inputs), output(model, inputs))
    base = loaded.unload()
    assert torch.equal(output(base, inputs), output(tiny_model("llama"), inputs))
    hooks = [hook for module in base.modules() for hook in module._forward_pre_hooks.values()]
    assert not any(isinstance(getattr(hook, "__self__", None), TokenContext) for hook in hooks)


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable. is deprecated:FutureWarning")
def test_gradient_checkpointing(use_reentrant: bool) -> None:
    gradients = []
    for recompute in (False, True):
        model = adapted("llama", "pfeiffer").train()
        if recompute:
            model.base_model.model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
            model.base_model.model.enable_input_require_grads()
        model(**tiny_inputs("llama"))[0].square().mean().backward()
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="kernel_size must be an odd number of tokens above 0, got 2"):
        HoulsbyConfig(bottleneck="conv", kernel_size=2)
    with pytest.raises(ValueError, match="needs a transformers model around 'f'"):
        get_peft_model(_Holder(), HoulsbyConfig(bottleneck="conv", target_modules=["f"]))
    model = adapted("bert")
    with pytest.raises(ValueError, match="adapter_names cannot be used with bottleneck='conv'"):
        model(**tiny_inputs("bert"), adapter_names=["default", "__base__", "default"])
    foldable = get_peft_model(tiny_model("bert"), ParallelAdapterConfig(bottleneck="conv", non_linearity="gelu"))
    with pytest.raises(ValueError, match="the FFN of .* is plain, the bottleneck conv"):
        foldable.merge_and_unload()


class _Holder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(3, 3)


@pytest.mark.parametrize("model_type", ["bert", "llama", "opt"])
@pytest.mark.parametrize("method", METHODS)
def test_an_export_takes_batches_of_other_sizes(model_type: str, method: str) -> None:
    class FirstOutput(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            result: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask)[0]
            return result

    changes = {"attn_implementation": "eager", **({} if model_type == "bert" else {"use_cache": False})}
    base = tiny_model(model_type, **changes)
    model = randomise(get_peft_model(base, METHODS[method](bottleneck="conv"))).eval()
    inputs = {name: inputs[:2] for name, inputs in tiny_inputs(model_type).items()}
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(
        FirstOutput(model), tuple(inputs.values()), dynamic_shapes=({0: batch}, {0: batch}), strict=False
    )
    inputs = tiny_inputs(model_type)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(*inputs.values()), output(model, inputs))


def test_nothing_of_a_call_is_held_after_it() -> None:
    model = get_peft_model(tiny_model("llama"), HoulsbyConfig(bottleneck="conv")).eval()
    model(**tiny_inputs("llama"))
    context = layers(model)[0].bottlenecks["default"].context
    assert context is not None
    assert not context.calls
