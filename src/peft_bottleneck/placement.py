"""How a bottleneck is composed with a module of the base model.

With `f` the module, `x` its input and `B` a bottleneck:

=============  ====================  ==========================================================================
placement      output                sites
=============  ====================  ==========================================================================
`after`        `y + B(y), y = f(x)`  Houlsby: projections of attention and FFN; Pfeiffer, pre-LN: the block
`around_norm`  `f(x + B(f(x)))`      Pfeiffer, post-LN: the FFN's LayerNorm, `x` the sum that enters it
`beside`       `f(x) + B(x)`         parallel: the FFN
=============  ====================  ==========================================================================

Several active adapters are applied in their order: `after` and `around_norm` stack them (each reads what the one
before wrote), `beside` adds them up.

Two sites do not fit one module, and reach further by hooks: an FFN that has no module of its own, whose input is
tapped where it is read (`InputTap`), and a block's output, which is adapted inside the block's own call (`in_block`)
so that what transformers records as hidden states includes the adapter. `recomputation` does the same for gradient
checkpointing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .shortcut import add_sole, base_output, shortcut_of

if TYPE_CHECKING:
    from .layer import BottleneckLayer

Placement = Callable[..., Any]


class InputTap:
    """Hands the input of one module, the read point, to a later one, the write point.

    A forward pre-hook of the read point holds the tensor, the write point takes it. Nothing is held after the write.
    Both lie in the same block, so recomputation (gradient checkpointing) meets them in the same order again. Tensors
    are held by device, since the replicas of `nn.DataParallel` share this object.
    """

    def __init__(self, name: str, read_point: nn.Module) -> None:
        self.name = name
        self.read_point = read_point
        self.held: dict[torch.device, Tensor] = {}
        read_point.register_forward_pre_hook(self.hold)

    def hold(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        self.held[args[0].device] = args[0]

    def take(self, device: torch.device) -> Tensor:
        if device in self.held:
            return self.held.pop(device)
        if not self.held:
            raise RuntimeError(f"{self.name} has not run before the module that adds the parallel adapter's output.")
        return self.held.popitem()[1]  # offloading moved the activations in between

    def remove(self) -> None:
        remove_hooks(self.read_point._forward_pre_hooks, self)


def after(layer: BottleneckLayer, *args: Any, **kwargs: Any) -> Any:
    """`y + B(y)`, `y = f(x)`; or `y + B(x)`, `x` a tapped input."""
    shortcut = shortcut_of(layer)
    y = base_output(shortcut, args[0]) if shortcut and len(args) == 1 and not kwargs else None
    return adapt_output(layer, base_of(layer)(*args, **kwargs) if y is None else y)


def in_block(layer: BottleneckLayer, *args: Any, **kwargs: Any) -> Any:
    """`f(x)`: the layer only keeps the weights, and its block applies them to its own output."""
    return base_of(layer)(*args, **kwargs)


def around_norm(layer: BottleneckLayer, x: Tensor) -> Any:
    """`f(x + B(f(x)))`, `f` a normalisation."""
    norm = base_of(layer)
    y = norm(x)
    added = add_sole(layer, x, y)
    if added is not None:
        return norm(added)
    for turn in layer.turns():
        x = layer.add(turn, x, {None: y})
        y = norm(x)
    return y


def beside(layer: BottleneckLayer, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """`f(x) + B(x)`, `x` the module's own input or a tapped one."""
    inputs: dict[str | None, Tensor] = {None: x}
    for name, tap in layer.taps.items():
        inputs[name] = tap.take(x.device)
    output = base_of(layer)(x, *args, **kwargs)
    return (
        (_beside(layer, output[0], inputs), *output[1:])
        if isinstance(output, tuple)
        else _beside(layer, output, inputs)
    )


def _beside(layer: BottleneckLayer, y: Tensor, inputs: Mapping[str | None, Tensor]) -> Tensor:
    if inputs[None].dim() != y.dim():  # some mixtures of experts return `[batch·tokens, d]`
        inputs = {name: x.reshape(*y.shape[:-1], x.shape[-1]) for name, x in inputs.items()}
    added = add_sole(layer, y, inputs[None])
    if added is not None:
        return added
    for turn in layer.turns():
        y = layer.add(turn, y, inputs)
    return y


def base_of(layer: BottleneckLayer) -> Any:
    """The wrapped module, from the dictionary behind attribute access: this is looked up at every call."""
    return layer._modules["base_layer"]


def adapt_output(layer: BottleneckLayer, output: Any) -> Any:
    """`y + B(y)` of a module's output, which is a tensor or a tuple that begins with the hidden states."""
    return (_adapt(layer, output[0]), *output[1:]) if isinstance(output, tuple) else _adapt(layer, output)


def _adapt(layer: BottleneckLayer, y: Tensor) -> Tensor:
    added = add_sole(layer, y, y)
    if added is not None:
        return added
    taps = layer.taps
    tapped: dict[str | None, Tensor] = {name: tap.take(y.device) for name, tap in taps.items()} if taps else {}
    for turn in layer.turns():
        tapped[None] = y
        y = layer.add(turn, y, tapped)
    return y


def remove_hooks(hooks: Any, owner: object) -> None:
    """Takes the bound methods of `owner` out of a module's hooks."""
    for key in [key for key, hook in hooks.items() if getattr(hook, "__self__", None) is owner]:
        del hooks[key]
