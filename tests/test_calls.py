"""What a call of a layer costs beside its products, counted: calls in Python, which a short text pays for the most."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from equations import layers, randomise
from peft import LoraConfig, get_peft_model
from tiny_models import Residual
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from peft_bottleneck import HoulsbyConfig

D = 12
X = torch.randn(1, 3, D, generator=torch.Generator().manual_seed(1))


def python_calls(function: Callable[[], Any]) -> int:
    counted = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal counted
        counted += event == "call"

    with torch.no_grad():
        function()
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            function()
        finally:
            sys.setprofile(before)
    return counted


def adapted(config: Any) -> Any:
    torch.manual_seed(0)
    return get_peft_model(Residual(D), config).eval()


def test_an_adapted_layer_makes_fewer_python_calls_than_lora() -> None:
    base = Residual(D).f
    ours = adapted(HoulsbyConfig(target_modules=["f"], bottleneck_size=4)).f
    theirs = adapted(LoraConfig(target_modules=["f"], r=4)).f
    own = python_calls(lambda: ours(X)) - python_calls(lambda: base(X))
    assert own <= 18
    assert own <= 0.6 * (python_calls(lambda: theirs(X)) - python_calls(lambda: base(X)))


class Operations(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(function.overloadpacket).removeprefix("aten."))
        return function(*args, **(kwargs or {}))


def test_an_adapted_layer_computes_two_products_an_activation_and_a_sum() -> None:
    layer = adapted(HoulsbyConfig(target_modules=["f"], bottleneck_size=4)).f
    with torch.no_grad(), Operations() as operations:
        layer(X)
    computed = [name for name in operations.names if name not in ("view", "t")]
    assert computed == ["addmm", "addmm", "silu", "addmm", "add_"]


def test_the_sum_changes_no_tensor_that_somebody_has_seen() -> None:
    model = randomise(adapted(HoulsbyConfig(target_modules=["f"], bottleneck_size=4)))
    layer = layers(model)[0]
    seen: list[tuple[Tensor, Tensor]] = []

    def keep(module: nn.Module, args: Any, output: Tensor) -> None:
        seen.append((output, output.clone()))

    with torch.no_grad():
        unheard = layer(X)
        for module in (layer.base_layer, layer.houlsby_up["default"]):
            module.register_forward_hook(keep)
        torch.testing.assert_close(layer(X), unheard, rtol=0, atol=0)
    assert len(seen) == 2
    for output, copy in seen:
        assert torch.equal(output, copy)
