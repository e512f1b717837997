"""The equations of the placements, by hand, and several adapters on one model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from equations import METHODS, layers, output, randomise
from peft import LoraConfig, get_peft_model
from tiny_models import Residual, tiny_inputs, tiny_model
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutput

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig

D, R, BATCH = 12, 5, 4


def model_of(config: Any, base: nn.Module | None = None) -> Any:
    torch.manual_seed(0)
    return randomise(get_peft_model(base or Residual(D), config)).eval()


def by_hand(layer: Any, x: Tensor, phi: Any = F.relu, scale: Any = 1.0) -> Tensor:
    """B(x), written out."""
    down, up = layer._part("down")["default"], layer._part("up")["default"]
    return scale * (phi(x @ down.weight.T + down.bias) @ up.weight.T + up.bias)


X = torch.randn(BATCH, 3, D, generator=torch.Generator().manual_seed(1))


def test_after_a_module() -> None:
    model = model_of(HoulsbyConfig(target_modules=["f"], bottleneck_size=R))
    y = model.f.base_layer(X)
    torch.testing.assert_close(model.f(X), y + by_hand(model.f, y, phi=F.silu))


def test_after_a_module_on_its_input() -> None:
    model = model_of(HoulsbyConfig(target_modules="f", input_modules="f", bottleneck_size=R))
    torch.testing.assert_close(model.f(X), model.f.base_layer(X) + by_hand(model.f, X, phi=F.silu))


def test_around_a_norm() -> None:
    model = model_of(PfeifferConfig(target_modules=["norm"], bottleneck_size=R))
    norm = model.norm.base_layer
    torch.testing.assert_close(model.norm(X), norm(X + by_hand(model.norm, norm(X))))


def test_beside_a_module() -> None:
    model = model_of(ParallelAdapterConfig(target_modules=["f"], bottleneck_size=R))
    torch.testing.assert_close(model.f(X), model.f.base_layer(X) + by_hand(model.f, X, scale=4.0))


def test_beside_a_module_of_another_width() -> None:
    model = model_of(ParallelAdapterConfig(target_modules=["0"]), nn.Sequential(nn.Linear(D, 7)))
    layer = model.base_model.model[0]
    assert (layer.in_features, layer.out_features) == (D, 7)
    assert layer._part("down")["default"].weight.shape == (D // 2, D)
    torch.testing.assert_close(layer(X), layer.base_layer(X) + by_hand(layer, X, scale=4.0))


def test_on_the_output_of_a_block() -> None:
    """Pre-LN: `h + B(h)`, and what the model records as hidden states is what the next block reads."""
    inputs = tiny_inputs("llama")
    model = randomise(get_peft_model(tiny_model("llama"), PfeifferConfig())).eval()
    seen: list[Tensor] = []
    handle = model.base_model.model.layers[1].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        states = model(**inputs, output_hidden_states=True).hidden_states
        handle.remove()
        assert torch.equal(seen[0], states[1])
        with model.disable_adapter():
            plain = model(**inputs, output_hidden_states=True).hidden_states
        torch.testing.assert_close(states[1], plain[1] + by_hand(layers(model)[0], plain[1]))


class Named(NamedTuple):
    hidden: Tensor
    other: str


@pytest.mark.parametrize(
    "form",
    [
        lambda x: (x, "other"),
        lambda x: [x, "other"],
        lambda x: Named(x, "other"),
        lambda x: BaseModelOutput(last_hidden_state=x, attentions=("other",)),  # type: ignore[arg-type]
    ],
    ids=["tuple", "list", "named", "model_output"],
)
def test_what_a_module_returns_keeps_its_form(form: Callable[[Tensor], Any]) -> None:
    class Returning(nn.Linear):
        def forward(self, x: Tensor) -> Any:
            return form(super().forward(x))

    model = model_of(HoulsbyConfig(target_modules=["0"], bottleneck_size=R), nn.Sequential(Returning(D, D)))
    layer = model.base_model.model[0]
    y, answer = nn.Linear.forward(layer.base_layer, X), model(X)
    assert type(answer) is type(form(X))
    torch.testing.assert_close(answer[0], y + by_hand(layer, y, phi=F.silu))
    assert answer[1] in ("other", ("other",))


def test_gated() -> None:
    model = model_of(HoulsbyConfig(target_modules=["f"], bottleneck_size=R, bottleneck="gated"))
    y = model.f.base_layer(X)
    down, gate, up = (model.f._part(name)["default"] for name in ("down", "gate", "up"))
    torch.testing.assert_close(model.f(X), y + up(F.silu(gate(y)) * down(y)))


@pytest.mark.parametrize("scaling", ["learned", "channel", 0.5])
def test_scaling(scaling: Any) -> None:
    model = model_of(HoulsbyConfig(target_modules=["f"], scaling=scaling, non_linearity="identity"))
    scale = model.f._part("scaling")["default"] if isinstance(scaling, str) else scaling
    if isinstance(scaling, str):
        assert scale.shape == ((1,) if scaling == "learned" else (D,))
        assert scale.requires_grad
    y = model.f.base_layer(X)
    torch.testing.assert_close(model.f(X), y + by_hand(model.f, y, phi=lambda z: z, scale=scale))


@pytest.mark.parametrize("frozen", [False, True], ids=["gradients", "no_grad"])
@pytest.mark.parametrize(
    "changes", [{}, dict(scaling=0.5), dict(scaling="channel"), dict(bottleneck="gated")], ids=str
)
def test_the_sum_has_the_strides_of_the_output(changes: dict[str, Any], frozen: bool) -> None:
    """torch multiplies strided tensors in another order: other strides would change what the base computes next."""
    model = get_peft_model(Residual(D), HoulsbyConfig(target_modules=["f"], bottleneck_size=R, **changes)).eval()
    y = X.transpose(0, 1)
    with torch.set_grad_enabled(not frozen):
        adapted = model.f.adapt(y)
    assert adapted.stride() == y.stride()
    assert torch.equal(adapted, y)


def test_dropout_works_on_the_bottleneck_in_training_only() -> None:
    model = model_of(ParallelAdapterConfig(target_modules=["f"], dropout=0.5))
    y, delta = model.f.base_layer(X), by_hand(model.f, X, scale=4.0)
    torch.testing.assert_close(model.f(X), y + delta)
    dropped = (model.train().f(X) - y) / delta
    kept = dropped.isclose(torch.tensor(2.0), atol=1e-2)
    assert 0.35 < kept.float().mean() < 0.65
    assert bool((kept | dropped.isclose(torch.tensor(0.0), atol=1e-2)).all())


def test_sizes() -> None:
    config = HoulsbyConfig(reduction_factor=8, bottleneck_size_pattern={r"layer\.1\.output\.dense": 3})
    model = get_peft_model(tiny_model("bert"), config)
    sizes = [layer._part("down")["default"].out_features for layer in layers(model)]
    assert sizes == [4, 4, 4, 3]
    tiny = get_peft_model(tiny_model("bert"), HoulsbyConfig(reduction_factor=1000))
    assert layers(tiny)[0]._part("down")["default"].out_features == 1


def two_adapters(method: str) -> tuple[Any, dict[str, Tensor]]:
    model = get_peft_model(tiny_model("bert"), METHODS[method](init_weights=False), adapter_name="one")
    model.add_adapter("two", METHODS[method](init_weights=False, bottleneck_size=3))
    return model.eval(), tiny_inputs("bert")


@pytest.mark.parametrize("method", METHODS)
def test_several_adapters(method: str) -> None:
    model, inputs = two_adapters(method)
    plain = output(tiny_model("bert"), inputs)
    outputs = {}
    for name in ("one", "two"):
        model.set_adapter(name)
        outputs[name] = output(model, inputs)
        trainable = {key for key, parameter in model.named_parameters() if parameter.requires_grad}
        assert trainable == {key for key, _ in model.named_parameters() if f".{name}." in key}
    assert not torch.allclose(outputs["one"], outputs["two"])
    with pytest.warns(UserWarning, match="Setting active adapter to one"):
        model.delete_adapter("two")
    assert not any(".two." in name for name, _ in model.named_parameters())
    model.set_adapter("one")
    assert torch.equal(output(model, inputs), outputs["one"])
    assert torch.equal(output(model.unload().eval(), inputs), plain)


@pytest.mark.parametrize("method", METHODS)
def test_active_together(method: str) -> None:
    """`after` and `around_norm` stack in the given order, `beside` adds up in any."""
    model, inputs = two_adapters(method)
    model.base_model.set_adapter(["one", "two"])
    both = output(model, inputs)
    model.base_model.set_adapter(["two", "one"])
    assert torch.allclose(output(model, inputs), both, atol=1e-6) == (method == "parallel_adapter")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model_type", ["bert", "opt", "llama"])
def test_an_adapter_for_each_row(model_type: str, method: str) -> None:
    inputs = tiny_inputs(model_type)
    model = get_peft_model(tiny_model(model_type), METHODS[method](init_weights=False), adapter_name="one")
    model.add_adapter("two", METHODS[method](init_weights=False))
    model.eval()
    expected = []
    for row, name in enumerate(("two", "__base__", "one")):
        if name == "__base__":
            with model.disable_adapter():
                expected.append(output(model, inputs)[row])
        else:
            model.set_adapter(name)
            expected.append(output(model, inputs)[row])
    with torch.no_grad():
        mixed = model(**inputs, adapter_names=["two", "__base__", "one"])[0]
    torch.testing.assert_close(mixed, torch.stack(expected), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match=r"non-existing adapter\(s\): three"):
        model(**inputs, adapter_names=["three", "one", "one"])
    with pytest.raises(ValueError, match="but got 2 and 3"):
        model(**inputs, adapter_names=["one", "two"])


def test_a_second_adapter_may_target_other_modules() -> None:
    inputs = tiny_inputs("bert")
    model = get_peft_model(tiny_model("bert"), HoulsbyConfig(init_weights=False, layers_to_transform=[0]))
    model.add_adapter("other", HoulsbyConfig(init_weights=False, layers_to_transform=[1]))
    first = output(model.eval(), inputs)
    model.set_adapter("other")
    assert not torch.allclose(output(model, inputs), first)
    model.set_adapter("default")
    assert torch.equal(output(model, inputs), first)


def test_a_second_adapter_may_not_be_composed_otherwise() -> None:
    """GPT-2's row puts Pfeiffer adapters on the block's output, kept by `mlp.c_proj`; here on that module's own."""
    model = get_peft_model(tiny_model("gpt2"), PfeifferConfig())
    with pytest.raises(
        ValueError, match=r"'other' would be composed with h\.0\.mlp\.c_proj otherwise .* 'after', not 'in_block'"
    ):
        model.add_adapter("other", PfeifferConfig(target_modules=r".*mlp\.c_proj"))


def test_upper_blocks_only_leave_no_graph_below() -> None:
    model = get_peft_model(tiny_model("llama"), HoulsbyConfig(layers_to_transform=1)).train()
    inputs: list[Tensor] = []
    model.base_model.model.layers[1].register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    model(**tiny_inputs("llama"))
    assert len(layers(model)) == 2
    assert not inputs[0].requires_grad


@pytest.mark.usefixtures("any_peft")
def test_beside_lora() -> None:
    """LoRA's own injection and ours keep out of each other's way on one transformers model."""
    inputs = tiny_inputs("llama")
    model = tiny_model("llama")
    model.add_adapter(HoulsbyConfig(init_weights=False), adapter_name="bottleneck")
    first = output(model, inputs)
    with pytest.warns(UserWarning, match="multiple adapters"):
        model.add_adapter(LoraConfig(target_modules=["q_proj"], init_lora_weights=False), adapter_name="lora")
    model.set_adapter(["bottleneck", "lora"])
    assert not torch.allclose(output(model.eval(), inputs), first)


def test_a_block_of_another_width_says_so() -> None:
    """Hyper-connections pass several residual streams on, side by side."""

    class Streams(Residual):
        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = super().forward(x)
            return torch.cat((y, y), -1)

    places = PfeifferConfig(target_modules=r"(?P<block>0)\.f", output_modules=r"\g<block>")
    model = get_peft_model(nn.Sequential(Streams(D)), places)
    with pytest.raises(ValueError, match=f"puts out {2 * D} channels and the adapter has {D}"):
        model(X)
