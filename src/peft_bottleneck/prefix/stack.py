"""The blocks of a model in the order in which a call runs them, and what comes before and after them.

A call of the model's skeleton (`sites.skeleton`), without weights, shows the order. It also shows whether the lower
blocks of this model can be left out of a call: each block is called once, one after the other, and hands on hidden
states `[batch, tokens, d]`. Some models hand on more, such as T5's position bias; it comes from the first block,
which then runs in every call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle

from ..registration import BaseTunerLayer
from ..sites.calling import call_quietly, quietly
from ..sites.data_flow import storage_of
from ..sites.dummy_inputs import inputs_of_model
from ..sites.skeleton import ShapesOnly, skeleton


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The blocks that a model runs first.

    Attributes:
        owner: the name of the model, or of the part of it, that turns inputs into hidden states: `bert`, `encoder`.
        blocks: the name of the list of blocks in the owner: `encoder.layer`.
        after: the names of the modules in the owner that run after the last block: its final norm, its pooler.
        count: the number of blocks.
        width: `d`, the channels of the hidden states.
        tokens: positions of one example in the call of the skeleton; those of an image are always as many.
        trailing: how many values a block returns after the hidden states; None: it returns no tuple.
        hands_on: whether a block reads such values of the one before it.
    """

    owner: str
    blocks: str
    after: frozenset[str]
    count: int
    width: int
    tokens: int
    trailing: int | None
    hands_on: bool

    def output(self, hidden: Tensor, further: tuple[object, ...] | None = None) -> object:
        """The hidden states as a block returns them, and the values after them, None if nothing reads them."""
        if self.trailing is None:
            return hidden
        return (hidden, *((None,) * self.trailing if further is None else further))

    def holds(self, name: str) -> bool:
        """Whether the blocks are in this module of the owner."""
        return not name or self.blocks.startswith(f"{name}.")

    def upstream(self, owner: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
        """The modules of the owner that are neither in blocks nor after them, the owner itself included."""
        yield name, owner
        for child_name, child in owner.named_children():
            full = f"{name}.{child_name}" if name else child_name
            if full != self.blocks and full not in self.after:
                yield from self.upstream(child, full)


@dataclass(frozen=True)
class _BlockCall:
    """One call of a block, with tensors that have no values."""

    index: int
    reads: list[Tensor]
    returns: object

    @property
    def hidden(self) -> Any:
        return self.returns[0] if isinstance(self.returns, (tuple, list)) else self.returns

    @property
    def further(self) -> tuple[object, ...] | None:
        """What it returns after the hidden states; None where it returns no tuple."""
        return tuple(self.returns[1:]) if isinstance(self.returns, (tuple, list)) else None


@dataclass
class _Calls:
    """What a call did: when each module began and ended, and what the blocks of each list took and returned."""

    begun: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    blocks: dict[str, list[_BlockCall]] = field(default_factory=dict)
    moment: int = 0

    def clear(self) -> None:
        self.begun.clear()
        self.ended.clear()
        self.blocks.clear()


def find_stack(model: nn.Module) -> Stack:
    """The stack of a transformers model, with or without adapters.

    Raises:
        ValueError: the model has no list of blocks, or its blocks hand on more than hidden states; says which.
    """
    with quietly():
        root: nn.Module = skeleton(model)
        modules = dict(root.named_modules())
        lists = _outermost_lists(root)
        calls = _call(root, modules, lists)
    kind = type(model).__name__
    if not calls.blocks:
        raise ValueError(f"{kind} shows no list of blocks that a call runs: there is no prefix to reuse.")
    first = min(calls.blocks, key=lambda name: calls.begun[f"{name}.{calls.blocks[name][0].index}"])
    owner = _owner(first, modules)
    inside = [name for name in calls.blocks if _owner(name, modules) == owner]
    name = max(inside, key=lambda name: sum(p.numel() for p in lists[name].parameters()))
    last = max(moment for block, moment in calls.ended.items() if block.startswith(f"{name}."))
    below = f"{owner}." if owner else ""
    after = {
        module.removeprefix(below)
        for module, moment in calls.begun.items()
        if moment > last and module.startswith(below) and module != owner
    }
    hidden, trailing, hands_on = _outputs(kind, name, len(lists[name]), calls.blocks[name])
    return Stack(
        owner=owner,
        blocks=name.removeprefix(below),
        after=frozenset(after),
        count=len(lists[name]),
        width=hidden.shape[-1],
        tokens=hidden.shape[1],
        trailing=trailing,
        hands_on=hands_on,
    )


def _outermost_lists(root: nn.Module) -> dict[str, nn.ModuleList]:
    lists: dict[str, nn.ModuleList] = {}
    for name, module in root.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) and not any(name.startswith(f"{o}.") for o in lists):
            lists[name] = module
    return lists


def _call(root: nn.Module, modules: dict[str, nn.Module], lists: dict[str, nn.ModuleList]) -> _Calls:
    """Calls the whole model, or else the models in it, until a call comes to its end."""
    calls = _Calls()
    handles = [handle for name, module in modules.items() for handle in _follow(name, module, calls)]
    for name, blocks in lists.items():
        handles += [_record(name, index, block, calls) for index, block in enumerate(blocks)]
    for module in modules.values():
        for inputs in inputs_of_model(module) if hasattr(module, "main_input_name") else ():
            calls.clear()
            if not call_quietly(ShapesOnly(), module, inputs) and calls.blocks:
                return calls
    calls.clear()
    return calls


def _follow(name: str, module: nn.Module, calls: _Calls) -> list[RemovableHandle]:
    def begin(*_: object) -> None:
        calls.moment += 1
        calls.begun.setdefault(name, calls.moment)

    def end(*_: object) -> None:
        calls.moment += 1
        calls.ended[name] = calls.moment

    return [module.register_forward_pre_hook(begin), module.register_forward_hook(end)]


def _record(name: str, index: int, block: nn.Module, calls: _Calls) -> RemovableHandle:
    def returned(block: nn.Module, args: Any, kwargs: Any, output: object) -> None:
        reads = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        calls.blocks.setdefault(name, []).append(_BlockCall(index, reads, output))

    return block.register_forward_hook(returned, with_kwargs=True)


def _owner(blocks: str, modules: dict[str, nn.Module]) -> str:
    """The innermost model around a list of blocks."""
    name = blocks
    while name:
        name = name.rpartition(".")[0]
        if hasattr(modules[name], "main_input_name"):
            return name
    return ""


def _outputs(kind: str, name: str, count: int, calls: list[_BlockCall]) -> tuple[Tensor, int | None, bool]:
    """The hidden states, how many values blocks return after them, and whether the next block reads any.

    Raises:
        ValueError: a block is called more than once, or in another order, or returns no hidden states.
    """
    if [call.index for call in calls] != list(range(count)):
        raise ValueError(
            f"{kind} does not run each block of {name} once, from the first to the last: its lower blocks cannot be "
            "left out of a call."
        )
    for call in calls:
        if not isinstance(call.hidden, Tensor) or call.hidden.dim() != 3:
            raise ValueError(
                f"{kind} cannot reuse a frozen prefix: block {call.index} of {name} returns no hidden states "
                "[batch, tokens, channels]."
            )
    trailing = {None if call.further is None else len(call.further) for call in calls}
    if len(trailing) > 1:
        raise ValueError(f"{kind} cannot reuse a frozen prefix: the blocks of {name} return different things.")
    hands_on = any(
        storage_of(value) in map(storage_of, after.reads)
        for before, after in pairwise(calls)
        for value in before.further or ()
        if isinstance(value, Tensor)
    )
    return calls[0].hidden, trailing.pop(), hands_on


def frozen_blocks(owner: nn.Module, stack: Stack) -> tuple[int, str]:
    """How many blocks are below everything that is trained or adapted, and what ends them.

    A block counts as frozen if it holds no parameter that is open to training and no active adapter. Whether adapters
    are disabled for a while does not matter.

    Returns:
        the number of blocks, and the name of the parameter or layer in the way, empty where there is none.
    """
    for name, module in stack.upstream(owner):
        if reason := _holds(module, name):
            return 0, reason
    blocks = owner.get_submodule(stack.blocks)
    for index, block in enumerate(blocks.children()):
        for name, module in block.named_modules():
            if reason := _holds(module, f"{stack.blocks}.{index}.{name}".rstrip(".")):
                return index, reason
    return len(list(blocks.children())), ""


def _holds(module: nn.Module, name: str) -> str:
    """The parameter of the module itself that is trained, or the module's name if an active adapter is in it."""
    for parameter_name, parameter in module._parameters.items():
        if parameter is not None and parameter.requires_grad:
            return f"{name}.{parameter_name}".lstrip(".")
    if isinstance(module, BaseTunerLayer) and _active(module):
        return name
    return ""


def _active(layer: Any) -> bool:
    return any(adapter in getattr(layer, part, ()) for part in layer.adapter_layer_names for adapter in _names(layer))


def _names(layer: Any) -> list[str]:
    return list(layer.active_adapters)


def has_rows_of_their_own(module: nn.Module) -> bool:
    """Whether a tuner layer is inside a call with `adapter_names`, for which active adapters do not count."""
    if not isinstance(module, BaseTunerLayer):
        return False
    hooks = module._forward_pre_hooks.values()
    return getattr(module, "rows", None) is not None or any(
        "adapter_names" in getattr(hook, "keywords", {}) for hook in hooks
    )
