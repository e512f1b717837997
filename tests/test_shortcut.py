"""Calls are left out only where nobody could tell: whatever is changed between two calls, the second one heeds it."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
import torch
from equations import METHODS, layers, randomise
from peft import get_peft_model
from tiny_models import Residual
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrize, prune

from peft_bottleneck.layer import BottleneckLayer

D, R = 12, 5
X = torch.randn(4, 3, D, generator=torch.Generator().manual_seed(1))
PARTS = ("base_layer", "houlsby_down.default", "houlsby_up.default")


class Doubled(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def used(method: str = "houlsby") -> Any:
    """A model that has been called once, with two adapters, the first of them active."""
    torch.manual_seed(0)
    config = METHODS[method](target_modules=["norm" if method == "pfeiffer" else "f"], bottleneck_size=R)
    model = get_peft_model(Residual(D), config)
    model.add_adapter("other", config)
    randomise(model)
    for layer in layers(model):
        for part in layer.adapter_layer_names[:-1]:
            if "other" in getattr(layer, part):
                randomise(getattr(layer, part)["other"].requires_grad_(True), seed=1)
    with torch.no_grad():
        model.eval()(X)
    assert all(layer.shortcut for layer in layers(model))
    return model


@torch.no_grad()
def the_long_way(model: Any) -> Tensor:
    """The same with every part called."""
    kept = [layer.shortcut for layer in layers(model)]
    for layer in layers(model):
        layer.__dict__["shortcut"] = ()
    result = model(X)
    for layer, shortcut in zip(layers(model), kept, strict=True):
        layer.__dict__["shortcut"] = shortcut
    return result


def fresh(old: nn.Module) -> nn.Linear:
    torch.manual_seed(7)
    return nn.Linear(old.in_features, old.out_features)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", METHODS)
def test_no_linear_layer_of_a_bottleneck_is_called(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = used(method)
    expected = the_long_way(model)
    called: list[nn.Module] = []

    def listen(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code is nn.Linear.forward.__code__:
            called.append(frame.f_locals["self"])

    sys.setprofile(listen)
    try:
        with torch.no_grad():
            result = model(X)
    finally:
        sys.setprofile(None)
    inner = model.base_model.model
    assert called == ([] if method == "houlsby" else [getattr(inner.f, "base_layer", inner.f)])
    torch.testing.assert_close(result, expected, rtol=0, atol=0)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("register", ["register_forward_pre_hook", "register_forward_hook", "forward", "globally"])
def test_whoever_listens_to_a_linear_layer_is_called(part: str, register: str) -> None:
    """Calls of plain linear layers are left out, but only where nobody could tell."""
    model = used()
    unheard = model.f(X)
    linear: Any = model.f.get_submodule(part)
    heard: list[nn.Module] = []
    if register == "forward":
        compute = linear.forward
        linear.forward = lambda x: (heard.append(linear), compute(x))[1]
    elif register == "globally":
        handle = register_module_forward_hook(lambda module, args, y: heard.append(module))
    else:
        getattr(linear, register)(lambda module, *_: heard.append(module))
    result = model.f(X)
    if register == "globally":
        handle.remove()
    assert heard.count(linear) == 1
    torch.testing.assert_close(result, unheard)


def test_a_forward_that_all_linear_layers_are_given_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    model = used()
    called: list[nn.Module] = []
    compute = nn.Linear.forward
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: (called.append(self), compute(self, x))[1])
    model(X)
    assert called == [model.f.get_submodule(part) for part in PARTS]


def test_autocast_chooses_the_type_of_the_result() -> None:
    model = used()
    layer = model.f
    down, up = layer.houlsby_down["default"], layer.houlsby_up["default"]
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        cast = layer.base_layer(X)
        wanted = cast + up(torch.nn.functional.silu(down(cast.float())))
        assert layer(X).dtype == cast.dtype == torch.bfloat16
        torch.testing.assert_close(layer(X), wanted, rtol=0, atol=0.02)


def by_name(layer: BottleneckLayer, part: str) -> None:
    parent, _, name = part.rpartition(".")
    setattr(layer.get_submodule(parent), name, fresh(layer.get_submodule(part)))


def in_the_dictionary(layer: BottleneckLayer, part: str) -> None:
    parent, _, name = part.rpartition(".")
    layer.get_submodule(parent)._modules[name] = fresh(layer.get_submodule(part))


def another_class(layer: BottleneckLayer, part: str) -> None:
    layer.get_submodule(part).__class__ = Doubled


def another_forward(layer: BottleneckLayer, part: str) -> None:
    linear: Any = layer.get_submodule(part)
    compute = linear.forward
    linear.forward = lambda x: 2 * compute(x)


def other_values(layer: BottleneckLayer, part: str) -> None:
    linear: Any = layer.get_submodule(part)
    linear.weight = nn.Parameter(linear.weight * 2)


def moved_parameters(layer: BottleneckLayer, part: str) -> None:
    linear: Any = layer.get_submodule(part)
    for name in ("weight", "bias"):
        value = linear._parameters.pop(name).detach()
        setattr(linear, name, value * 2)


def moved_weight(layer: BottleneckLayer, part: str) -> None:
    linear: Any = layer.get_submodule(part)
    linear.weight = linear._parameters.pop("weight").detach() * 2


def pruned(layer: BottleneckLayer, part: str) -> None:
    prune.random_unstructured(layer.get_submodule(part), "weight", amount=0.5)


class Twice(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def parametrised(layer: BottleneckLayer, part: str) -> None:
    parametrize.register_parametrization(layer.get_submodule(part), "weight", Twice())


def hooked(layer: BottleneckLayer, part: str) -> None:
    layer.get_submodule(part).register_forward_hook(lambda module, args, y: 2 * y)


CHANGES: tuple[Callable[[BottleneckLayer, str], None], ...] = (
    by_name,
    in_the_dictionary,
    another_class,
    another_forward,
    other_values,
    moved_parameters,
    moved_weight,
    pruned,
    parametrised,
    hooked,
)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_a_part_shows(change: Callable[[BottleneckLayer, str], None], part: str) -> None:
    model = used()
    before = the_long_way(model)
    change(layers(model)[0], part)
    expected = the_long_way(model)
    assert not torch.allclose(before, expected, atol=1e-3)
    for _ in range(2):  # with what was kept, and with what is kept now
        with torch.no_grad():
            torch.testing.assert_close(model(X), expected)


def disabled(model: Any) -> None:
    model.base_model.disable_adapter_layers()


def switched(model: Any) -> None:
    model.set_adapter("other")


def together(model: Any) -> None:
    model.base_model.set_adapter(["default", "other"])


def deleted(model: Any) -> None:
    model.set_adapter("other")
    model.delete_adapter("default")


def deleted_while_active(model: Any) -> None:
    with pytest.warns(UserWarning, match="was active which is now deleted"):
        model.delete_adapter("default")


def loaded_over(model: Any) -> None:
    model.load_state_dict({name: 2 * value for name, value in model.state_dict().items()})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("change", [disabled, switched, together, deleted, deleted_while_active, loaded_over])
def test_a_change_of_the_adapters_shows(method: str, change: Callable[[Any], None]) -> None:
    model = used(method)
    before = the_long_way(model)
    change(model)
    expected = the_long_way(model)
    assert not torch.allclose(before, expected, atol=1e-3)
    for _ in range(2):
        with torch.no_grad():
            torch.testing.assert_close(model(X), expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_has_parts_of_its_own(method: str, copied: Callable[[Any], Any]) -> None:
    model = used(method)
    before = the_long_way(model)
    other = copied(model)
    with torch.no_grad():
        torch.testing.assert_close(other(X), before)
        other.set_adapter("other")
        assert not torch.allclose(other(X), before, atol=1e-3)
        torch.testing.assert_close(model(X), before)
        heard: list[nn.Module] = []
        with register_module_forward_hook(lambda module, args, y: heard.append(module)):
            other(X)
        assert {layer._part(name)["other"] for layer in layers(other) for name in ("down", "up")} <= {*heard}


def test_a_layer_whose_own_attribute_is_set_looks_again() -> None:
    layer = layers(used())[0]
    kept = layer.shortcut
    layer.eval()
    assert layer.shortcut is None
    with torch.no_grad():
        layer(X)
    assert layer.shortcut is not None
    assert layer.shortcut is not kept


def test_compiled_in_one_graph_after_a_call() -> None:
    model = used()
    expected = the_long_way(model)
    compiled = torch.compile(model.base_model.model, backend="eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(X), expected)
        model.set_adapter("other")
        assert not torch.allclose(compiled(X), expected, atol=1e-3)
        torch.testing.assert_close(compiled(X), the_long_way(model))
