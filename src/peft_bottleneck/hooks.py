"""Where a bottleneck reaches beyond the module that it wraps: hooks on other modules of the same block.

`InputTap` brings the input of one module to a later one: an FFN may have no module of its own. `Summands` brings the
two parts of a sum to a module that gets only the sum. `BlockOutput` adapts a block's output inside the block's own
call, so that the hidden states that transformers records include the adapter.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

_FUNCTION = "_gradient_checkpointing_func"  # where `gradient_checkpointing_enable` puts it
_HOOKS_ARE_RECOMPUTED = "__call__" in vars(GradientCheckpointingLayer)  # and not `forward` alone


_TRACED = 0  # no thread has this number


def caller() -> int:
    """The number of the calling thread: what one call hands over is not another's. Traced code has none."""
    return _TRACED if torch.compiler.is_compiling() else threading.get_ident()


class InputTap:
    """Hands the input of one module, the read point, to a later one, the write point.

    A forward pre-hook of the read point holds the tensor, the write point takes it; in between, other modules may have
    run whose outputs are added to it. Nothing is held after the write, and nothing goes into a copy. All points are in
    the same block, so recomputation (gradient checkpointing) meets them in the same order again. Tensors are held by
    device: the replicas of `nn.DataParallel` share this object.
    """

    def __init__(self, name: str, read_point: nn.Module, *added: nn.Module) -> None:
        self.name = name
        self.read_point = read_point
        self.added = added
        self.held: dict[tuple[int, torch.device], Tensor] = {}
        read_point.register_forward_pre_hook(self.hold)
        for module in added:
            module.register_forward_hook(self.add)

    def hold(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        self.held[caller(), args[0].device] = args[0]

    def add(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        """Adds what a module in between returns, a tensor or a tuple that begins with it."""
        tensor: Tensor = output[0] if isinstance(output, tuple) else output
        self.held[caller(), tensor.device] = self.held[caller(), tensor.device] + tensor

    def take(self, device: torch.device) -> Tensor:
        """The held input, from this device if there is one.

        Raises:
            RuntimeError: the read point has not run.
        """
        thread = caller()
        if (thread, device) in self.held:
            return self.held.pop((thread, device))
        for place in list(self.held):
            # Offloading moves the activations in between; or one of the two points is in a compiled part.
            if _TRACED in (thread, place[0]) or place[0] == thread:
                return self.held.pop(place)
        raise RuntimeError(f"{self.name} has not run before the module that adds the parallel adapter's output.")

    def remove(self) -> None:
        """Takes the hooks away again."""
        remove_hooks(self.read_point._forward_pre_hooks, self)
        for module in self.added:
            remove_hooks(module._forward_hooks, self)

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "held": {}}


class Summands:
    """Passes the two parts of a sum on: the output of one module of a block, and the input of another.

    Floating-point sums depend on their order. With both parts at hand, a bottleneck's output can be added to the first
    before the second, `(y + B) + r`, as AdapterHub's library does, in place of `(y + r) + B`. In training both parts
    may pass a dropout in between, so nothing is held then. Tensors are held by thread and device, as in `InputTap`.

    Args:
        added: the module that returns `y`.
        kept: the module that reads `r`.
    """

    def __init__(self, added: nn.Module, kept: nn.Module) -> None:
        self.added = added
        self.kept = kept
        self.held: dict[tuple[str, int, torch.device], Tensor] = {}
        added.register_forward_hook(self.hold_added)
        kept.register_forward_pre_hook(self.hold_kept)

    def hold_added(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        """Holds what a module returns, a tensor or a tuple that begins with it."""
        if not module.training:
            tensor: Tensor = output[0] if isinstance(output, tuple) else output
            self.held["added", caller(), tensor.device] = tensor

    def hold_kept(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        """Holds what a module reads."""
        if not module.training and args:
            self.held["kept", caller(), args[0].device] = args[0]

    def take(self, total: Tensor) -> tuple[Tensor, Tensor] | None:
        """`(y, r)`; None where they are not held, or not of the shape and type of their sum."""
        parts = [self.held.pop((name, caller(), total.device), None) for name in ("added", "kept")]
        y, r = (part if part is not None and _alike(part, total) else None for part in parts)
        return None if y is None or r is None else (y, r)

    def remove(self) -> None:
        """Takes the hooks away again."""
        remove_hooks(self.added._forward_hooks, self)
        remove_hooks(self.kept._forward_pre_hooks, self)

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "held": {}}


def _alike(part: Tensor, total: Tensor) -> bool:
    return part.shape == total.shape and part.dtype == total.dtype


class BlockOutput:
    """Passes a block's output through `adapt`, and makes gradient checkpointing recompute that with the block.

    Under gradient checkpointing a block keeps its input alone, and computes the rest again in the backward pass. In
    newer transformers, 5.24 among them, that is the block's `forward` without its hooks, so what a hook adds to the
    block's output would keep its own activations: one of `d` channels and two of `r` for every token and block. So
    `adapt` joins what the block's checkpointing function recomputes.

    Args:
        block: the block.
        layer: the module in the block whose method `adapt` takes the block's output and returns another.
    """

    def __init__(self, block: nn.Module, layer: nn.Module) -> None:
        self.block = block
        self.layer = layer
        block.register_forward_pre_hook(self.enter)
        block.register_forward_hook(self.leave, prepend=True)

    def enter(self, block: nn.Module, args: tuple[Tensor, ...]) -> None:
        """Before a block is called: adapting becomes a part of what it recomputes, if it recomputes at all."""
        if _HOOKS_ARE_RECOMPUTED or not _recomputes(block):
            return
        function, step = getattr(block, _FUNCTION), self._adapt(block)
        if not isinstance(function, _Recomputed):
            setattr(block, _FUNCTION, _Recomputed(function, step))
        elif function.step != step:  # a replica of `nn.DataParallel` has the original's
            setattr(block, _FUNCTION, _Recomputed(function.function, step))
        else:
            function.has_run = False

    def leave(self, block: nn.Module, args: tuple[object, ...], output: object) -> object:
        """After it: adapts the output, unless the call has done so already."""
        function = getattr(block, _FUNCTION, None)
        if _recomputes(block) and isinstance(function, _Recomputed) and function.has_run:
            return output
        return self._adapt(block)(output)

    def remove(self) -> None:
        """Takes the hooks, and the part in recomputation, away again."""
        remove_hooks(self.block._forward_pre_hooks, self)
        remove_hooks(self.block._forward_hooks, self)
        function = getattr(self.block, _FUNCTION, None)
        if isinstance(function, _Recomputed):
            setattr(self.block, _FUNCTION, function.function)

    def _adapt(self, block: nn.Module) -> Callable[..., object]:
        """The layer's method, or its replica's: nn.DataParallel copies modules, and leaves hooks to the originals."""
        layer: Any = self.layer
        if "_is_replica" in vars(block):
            layer = next(module for module in block.modules() if vars(module).get("block_output") is self)
        adapt: Callable[..., object] = layer.adapt
        return adapt


class _Recomputed:
    """A block's checkpointing function, with a further step at the end of what it recomputes."""

    def __init__(self, function: Callable[..., object], step: Callable[[object], object]) -> None:
        self.function = function
        self.step = step
        self.has_run = False  # in the present call of the block: another `forward` bound to it may not recompute

    def __call__(self, run: Callable[..., object], *args: object) -> object:
        self.has_run = True
        return self.function(lambda *inputs: self.step(run(*inputs)), *args)


class _Within:
    """A checkpointing function that recomputes inside a context, as the forward pass ran."""

    def __init__(self, function: Callable[..., object], scope: Callable[[], AbstractContextManager[None]]) -> None:
        self.function = function
        self.scope = scope

    def __call__(self, run: Callable[..., object], *args: object) -> object:
        def run_within(*inputs: object) -> object:
            with self.scope():
                return run(*inputs)

        return self.function(run_within, *args)


@contextmanager
def recomputed_within(
    modules: Iterable[nn.Module], scope: Callable[[], AbstractContextManager[None]]
) -> Iterator[None]:
    """Makes these modules recompute inside `scope()` what they compute in this context, also after it ends."""
    checkpointed = [module for module in modules if vars(module).get(_FUNCTION) is not None]
    for module in checkpointed:
        _change_function(module, lambda function: _Within(function, scope))
    try:
        yield
    finally:
        for module in checkpointed:
            _change_function(module, lambda function: function.function)


def _change_function(module: nn.Module, change: Callable[..., Callable[..., object]]) -> None:
    """Changes a block's checkpointing function, inside the one that `BlockOutput` sets."""
    function = vars(module)[_FUNCTION]
    if isinstance(function, _Recomputed):
        function.function = change(function.function)
    else:
        setattr(module, _FUNCTION, change(function))


def remove_hooks(hooks: Any, owner: object) -> None:
    """Takes the bound methods of `owner` out of a module's hooks."""
    for key in [key for key, hook in hooks.items() if getattr(hook, "__self__", None) is owner]:
        del hooks[key]


def _recomputes(block: nn.Module) -> bool:
    """The condition under which transformers checkpoints."""
    return (
        isinstance(block, GradientCheckpointingLayer)
        and block.gradient_checkpointing
        and block.training
        and torch.is_grad_enabled()
    )


def with_first(output: Any, first: Tensor) -> Any:
    """What a module returned, with another first tensor: a tuple with or without names, a list, a `ModelOutput`."""
    if isinstance(output, dict):
        return type(output)({**output, next(iter(output)): first})
    if hasattr(output, "_fields"):
        return type(output)(first, *output[1:])
    return type(output)((first, *output[1:]))
