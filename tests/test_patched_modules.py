"""Libraries that patch modules in place: what they bind to a wrapper reaches the wrapped module, or is refused."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from types import MethodType
from typing import Any

import pytest
import torch
from accelerate.hooks import ModelHook, add_hook_to_module
from equations import METHODS, layers, output, randomise
from peft import LoraConfig, get_peft_model
from tiny_models import Residual, tiny_inputs, tiny_model
from torch import Tensor, nn
from torch.nn.functional import silu

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig


def swiglu(self: Any, x: Tensor) -> Tensor:
    """`LigerSwiGLUMLP.forward`, with torch's product in the place of Triton's."""
    calls.append(self)
    result: Tensor = self.down_proj(silu(self.gate_proj(x)) * self.up_proj(x))
    return result


def rms_norm(self: Any, x: Tensor) -> Tensor:
    """`LigerRMSNorm.forward`, likewise; it reads attributes that Liger sets beside it."""
    calls.append(self)
    variance = x.pow(2).mean(-1, keepdim=True)
    result: Tensor = x * torch.rsqrt(variance + self.variance_epsilon) * (self.weight + self.offset)
    return result


calls: list[nn.Module] = []


def liger(model: Any) -> None:
    """What `apply_liger_kernel_to_llama(model=model)` does: it writes methods into the instances' dictionaries."""
    for block in model.layers:
        block.mlp.__dict__["forward"] = swiglu.__get__(block.mlp, type(block.mlp))
        for norm in (block.input_layernorm, block.post_attention_layernorm):
            norm.offset = 0.0
            norm.variance_epsilon = norm.variance_epsilon
            norm.__dict__["forward"] = rms_norm.__get__(norm, type(norm))
            norm.__dict__["_get_name"] = (lambda self: "LigerRMSNorm").__get__(norm, type(norm))


CASES: dict[str, Callable[[], Any]] = {
    **METHODS,
    "around_norm": lambda: PfeifferConfig(target_modules=["post_attention_layernorm"]),
    "lora": lambda: LoraConfig(target_modules=["down_proj"], init_lora_weights=False),
}


@pytest.mark.parametrize("case", CASES)
def test_methods_bound_to_wrappers_by_liger(case: str) -> None:
    inputs = tiny_inputs("llama")
    model = randomise(get_peft_model(tiny_model("llama"), CASES[case]())).eval()
    expected = output(model, inputs)
    liger(model.base_model.model)
    calls.clear()
    torch.testing.assert_close(output(model, inputs), expected)
    patched = {block.mlp for block in tiny_model("llama").layers}
    assert {type(module) for module in calls} >= {type(module) for module in patched}
    assert sum(type(module).__name__ == "LlamaMLP" for module in calls) == 2
    assert not any(module in layers(model) for module in calls)
    torch.testing.assert_close(output(copy.deepcopy(model), inputs), expected)
    with model.disable_adapter():
        plain = output(model, inputs)
    torch.testing.assert_close(plain, output(tiny_model("llama"), inputs))
    calls.clear()
    torch.testing.assert_close(output(model.unload(), inputs), plain)
    assert sum(type(module).__name__ == "LlamaMLP" for module in calls) == 2


@pytest.mark.parametrize("method", METHODS)
def test_unloaded_before_the_first_call(method: str) -> None:
    model = get_peft_model(tiny_model("llama"), METHODS[method]())
    liger(model.base_model.model)
    base = model.unload()
    calls.clear()
    output(base, tiny_inputs("llama"))
    assert len(calls) == 2 * 3


@pytest.mark.parametrize("method", METHODS)
def test_liger_under_checkpointing_and_in_training(method: str) -> None:
    def gradients(*, patched: bool, checkpointed: bool) -> list[Tensor]:
        model = randomise(get_peft_model(tiny_model("llama", use_cache=False), METHODS[method]())).train()
        if patched:
            liger(model.base_model.model)
        if checkpointed:
            model.base_model.model.gradient_checkpointing_enable({"use_reentrant": False})
        model(**tiny_inputs("llama"))[0].square().mean().backward()
        return [p.grad for p in model.parameters() if p.requires_grad and p.grad is not None]

    expected = gradients(patched=False, checkpointed=False)
    assert expected
    for checkpointed in (False, True):
        torch.testing.assert_close(gradients(patched=True, checkpointed=checkpointed), expected)


@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_forward_bound_to_a_block(checkpointed: bool) -> None:
    """Unsloth binds one of its own to every block; a checkpointed block then recomputes nothing."""
    inputs = tiny_inputs("llama")

    def gradients(*, patched: bool) -> list[Tensor]:
        model = randomise(get_peft_model(tiny_model("llama", use_cache=False), PfeifferConfig())).train()
        if checkpointed:
            model.base_model.model.gradient_checkpointing_enable({"use_reentrant": False})
        if patched:
            for block in model.base_model.model.layers:
                plain = getattr(type(block).forward, "__wrapped__", type(block).forward)
                block.forward = MethodType(plain, block)
        model(**inputs)[0].square().mean().backward()
        return [p.grad for p in model.parameters() if p.requires_grad and p.grad is not None]

    expected = gradients(patched=False)
    assert expected
    torch.testing.assert_close(gradients(patched=True), expected)


class LigerMLP(nn.Module):
    """`LigerSwiGLUMLP`, which `apply_liger_kernel_to_llama()` puts in the place of the class `LlamaMLP`."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    forward = swiglu


@pytest.mark.parametrize("kept", [True, False])
def test_folding_where_liger_has_replaced_the_class_of_the_ffn(kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.models.llama.modeling_llama.LlamaMLP", LigerMLP)
    inputs = tiny_inputs("llama")
    base = tiny_model("llama")
    assert not hasattr(base.layers[0].mlp, "act_fn")
    if not kept:
        base.config.hidden_act = "gelu"  # which these FFNs do not compute
        with pytest.raises(ValueError, match="foldable=True: the FFN's activation"):
            get_peft_model(base, ParallelAdapterConfig(foldable=True))
        return
    model = randomise(get_peft_model(base, ParallelAdapterConfig(foldable=True, bottleneck_size=3))).eval()
    expected = output(model, inputs)
    folded = model.merge_and_unload()
    assert folded.config.intermediate_size == 67
    torch.testing.assert_close(output(folded, inputs), expected, atol=1e-5, rtol=1e-4)


def adapted() -> Any:
    torch.manual_seed(0)
    return randomise(get_peft_model(Residual(12), HoulsbyConfig(target_modules=["f"], bottleneck_size=5))).eval()


# The name that both transformers 4 and 5 know.
pytestmark = pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable. is deprecated:FutureWarning")
X = torch.randn(4, 12, generator=torch.Generator().manual_seed(1))


def by_closure(layer: nn.Module) -> None:
    compute = layer.forward
    layer.forward = lambda x: 2 * compute(x)


def by_bound_method(layer: nn.Module) -> None:
    compute = layer.forward
    layer.forward = MethodType(lambda self, x: 2 * compute(x), layer)


def by_partial(layer: nn.Module) -> None:
    def doubled(compute: Any, x: Tensor) -> Tensor:
        result: Tensor = 2 * compute(x)
        return result

    layer.forward = functools.partial(doubled, layer.forward)


@pytest.mark.parametrize("wrap", [by_closure, by_bound_method, by_partial])
def test_a_forward_that_calls_the_layers_own_stays(wrap: Callable[[nn.Module], None]) -> None:
    model = adapted()
    expected = 2 * model.f(X)
    wrap(model.f)
    torch.testing.assert_close(model.f(X), expected)
    assert "forward" in vars(model.f)


def test_hooks_of_accelerate_on_a_wrapper() -> None:
    class Doubling(ModelHook):
        def post_forward(self, module: nn.Module, y: Tensor) -> Tensor:
            return 2 * y

    model = adapted()
    expected = 2 * model.f(X)
    add_hook_to_module(model.f, Doubling())
    torch.testing.assert_close(model.f(X), expected)


def test_a_forward_that_leaves_the_adapters_out_is_refused() -> None:
    model = adapted()
    base = model.f.base_layer
    model.f.forward = lambda x: base(x)
    with pytest.raises(RuntimeError, match="forward.* of a HoulsbyLayer around Linear .* does not call the adapters"):
        model.f(X)


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
@pytest.mark.parametrize("method", METHODS)
def test_integer_maps_of_torch_ao(method: str) -> None:
    """`quantize_dynamic` puts 8-bit maps into the places of all linear layers, of the bottlenecks too."""
    inputs = tiny_inputs("bert")
    model = randomise(get_peft_model(tiny_model("bert"), METHODS[method]())).eval()
    expected = output(model, inputs)
    small = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    assert type(layers(small)[0].parts("default")["down"]) is not nn.Linear
    answer = output(small, inputs)
    assert torch.nn.functional.cosine_similarity(answer.flatten(), expected.flatten(), dim=0) > 0.99
    assert not torch.equal(answer, expected)


def test_the_parallel_adapter_compiles_in_one_graph_after_liger() -> None:
    torch._dynamo.reset()
    inputs = tiny_inputs("llama")
    model = randomise(get_peft_model(tiny_model("llama"), ParallelAdapterConfig())).eval()
    liger(model.base_model.model)
    expected = output(model, inputs)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(output(compiled, inputs), expected)


@pytest.mark.parametrize("method", METHODS)
def test_a_kernel_for_lora_layers_does_not_pass_by_an_adapter_in_silence(method: str) -> None:
    """Unsloth's kernels read `disable_adapters`, `merged` and `lora_A` of a projection that PEFT has wrapped."""
    layer = layers(get_peft_model(tiny_model("llama"), METHODS[method]()))[0]
    assert not layer.disable_adapters
    assert not layer.merged
    with pytest.raises(AttributeError, match="lora_A"):
        layer.lora_A  # noqa: B018
