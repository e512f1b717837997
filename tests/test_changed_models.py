"""Whatever changes between two calls of a model, the second call heeds it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from equations import METHODS, layers, randomise
from peft import get_peft_model
from tiny_models import Residual
from torch import Tensor, nn
from torch.nn.functional import silu
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrize, prune

from peft_bottleneck.layer import BottleneckLayer

D, R = 12, 5
X = torch.randn(4, 3, D, generator=torch.Generator().manual_seed(1))
PARTS = ("base_layer", "houlsby_down.default", "houlsby_up.default")


class Doubled(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def built(method: str = "houlsby") -> Any:
    """A model with two adapters, the first of them active."""
    torch.manual_seed(0)
    config = METHODS[method](target_modules=["norm" if method == "pfeiffer" else "f"], bottleneck_size=R)
    model = get_peft_model(Residual(D), config)
    model.add_adapter("other", config)
    randomise(model)
    for layer in layers(model):
        for part in layer.adapter_layer_names[:-1]:
            if "other" in getattr(layer, part):
                randomise(getattr(layer, part)["other"].requires_grad_(True), seed=1)
    return model.eval()


def used(method: str = "houlsby") -> Any:
    """The same after a call."""
    model = built(method)
    result(model)
    return model


@torch.no_grad()
def result(model: Any) -> Tensor:
    answer: Tensor = model(X)
    return answer


@torch.no_grad()
def by_parts(model: Any) -> Tensor:
    """What the modules compute that are now where the parts of `model.f` are."""
    inner, layer = model.base_model.model, model.f
    y = layer.base_layer(X)
    y = y + layer.houlsby_up["default"](silu(layer.houlsby_down["default"](y)))
    return inner.norm(X + y)


def fresh(old: nn.Module) -> nn.Linear:
    torch.manual_seed(7)
    return nn.Linear(old.in_features, old.out_features)  # type: ignore[arg-type]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("register", ["register_forward_pre_hook", "register_forward_hook", "forward", "globally"])
def test_whoever_listens_to_a_linear_layer_is_called(part: str, register: str) -> None:
    model = used()
    unheard = result(model)
    linear: Any = model.f.get_submodule(part)
    heard: list[nn.Module] = []
    if register == "forward":
        compute = linear.forward
        linear.forward = lambda x: (heard.append(linear), compute(x))[1]
    elif register == "globally":
        handle = register_module_forward_hook(lambda module, args, y: heard.append(module))
    else:
        getattr(linear, register)(lambda module, *_: heard.append(module))
    answer = result(model)
    if register == "globally":
        handle.remove()
    assert heard.count(linear) == 1
    torch.testing.assert_close(answer, unheard)


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
    before = result(model)
    change(layers(model)[0], part)
    expected = by_parts(model)
    assert not torch.allclose(before, expected, atol=1e-3)
    torch.testing.assert_close(result(model), expected)


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
    model, unused = used(method), built(method)
    before = result(model)
    change(model)
    change(unused)
    expected = result(unused)
    assert not torch.allclose(before, expected, atol=1e-3)
    torch.testing.assert_close(result(model), expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_has_parts_of_its_own(method: str, copied: Callable[[Any], Any]) -> None:
    model = used(method)
    before = result(model)
    other = copied(model)
    torch.testing.assert_close(result(other), before)
    other.set_adapter("other")
    assert not torch.allclose(result(other), before, atol=1e-3)
    torch.testing.assert_close(result(model), before)
    heard: list[nn.Module] = []
    with register_module_forward_hook(lambda module, args, y: heard.append(module)):
        result(other)
    assert {part for layer in layers(other) for part in layer.parts("other").values()} <= {*heard}
