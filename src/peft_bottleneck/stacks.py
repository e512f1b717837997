"""The bottlenecks of many adapters on one module, computed together: `y_i + B_a(i)(x_i)` for every row `i` of a batch.

The parameters of adapters of one kind (same shapes, form, activation) are the slices of one tensor, so that two
batched products serve them all: with `n` adapters, `W_down` is `[n, r, d_in]`, `W_up` `[n, d_out, r]`, and the rows of
the batch, sorted by adapter, are `[n, rows·tokens, d_in]`.

A parameter becomes a view of its slice, so nothing is kept twice, and whatever writes into the parameter (an
optimizer, a loaded checkpoint, a hot swap) writes into the stack. An operation that replaces the tensor (`to`,
sharding, a new adapter of the same name) changes its address, which every call compares; the adapter is then stacked
anew. Where gradients are needed, and where a parameter is a view of another tensor, a call stacks copies.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .bottleneck import Bottleneck, Parts
from .modules import is_bare_linear
from .rows import Share

_PARTS = frozenset({"down", "gate", "up"})
_GROWTH = 1.5  # of a stack without a free slot

Kind = tuple[Any, ...]  # what the adapters of one stack have in common


@dataclass
class Member:
    """One adapter's bottleneck at one place, with its modules, and its trained scale if it has one."""

    bottleneck: Bottleneck
    parts: Parts
    scale: nn.Parameter | None

    def parameters(self) -> dict[str, Any]:
        """Its parameters by name."""
        found = {
            f"{name}.{key}": parameter
            for name, part in self.parts.items()
            for key, parameter in part._parameters.items()
            if parameter is not None
        }
        return found if self.scale is None else {**found, "scale": self.scale}

    def kind(self) -> Kind | None:
        """The key of the stack that it can be in; None where it has to be called by itself."""
        if not (self.parts.keys() <= _PARTS and all(map(is_bare_linear, self.parts.values()))):
            return None
        if self.bottleneck.stochastic_depth:
            return None
        parameters = self.parameters()
        if any(type(p) is not nn.Parameter or p.device.type == "meta" for p in parameters.values()):
            return None  # sharded, replicated or not yet loaded
        shapes = tuple((name, p.shape, p.dtype, p.device) for name, p in parameters.items())
        b = self.bottleneck
        return (b.form, b.phi, b.scale, b.dropout, b.read, shapes)

    def same(self, other: Member) -> bool:
        """Whether both have the same modules, with nothing attached to them."""
        return (
            self.bottleneck is other.bottleneck
            and self.scale is other.scale
            and all(other.parts[name] is part and is_bare_linear(part) for name, part in self.parts.items())
        )


class Stack:
    """The parameters of adapters of one kind: `tensors[name][slot]` is the parameter of one adapter."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.members: dict[str, Member] = {}
        self.slots: dict[str, int] = {}
        # Of each adapter: where each parameter is registered, under which name, and its address.
        self._places: dict[str, list[tuple[Mapping[str, Tensor | None], str, Tensor, int]]] = {}

    def holds(self, adapter: str, member: Member) -> bool:
        """Whether the adapter's parameters are, at this moment, the slices of its slot."""
        known = self.members.get(adapter)
        if known is None or not known.same(member):
            return False
        return all(
            registered.get(name) is parameter and parameter.data_ptr() == address
            for registered, name, parameter, address in self._places[adapter]
        )

    @torch.inference_mode(False)
    @torch.no_grad()
    def add(self, members: Mapping[str, Member]) -> None:
        """Copies the parameters of adapters into free slots, and makes them views of these."""
        used = {slot for adapter, slot in self.slots.items() if adapter not in members}
        room = len(next(iter(self.tensors.values()), ()))
        if len(used) + len(members) > room:
            room = max(len(used) + len(members), int(_GROWTH * room))
            self._resize(room, next(iter(members.values())))
        free = (slot for slot in range(room) if slot not in used)
        # Values first: a parameter may be a view of the slot that another one gets.
        values = {
            adapter: {n: p.clone() for n, p in member.parameters().items()} for adapter, member in members.items()
        }
        for adapter, member in members.items():
            self.members[adapter], self.slots[adapter] = member, next(free)
            for name, value in values[adapter].items():
                self.tensors[name][self.slots[adapter]].copy_(value)
            self._point(adapter)

    def remove(self, adapter: str) -> None:
        """Frees an adapter's slot; its parameters stay the views that they are."""
        for table in (self.members, self.slots, self._places):
            table.pop(adapter, None)

    def weights(self, adapters: tuple[str, ...]) -> dict[str, Tensor]:
        """The parameters of these adapters, `[n, …]` by name; without a copy where their slots are in a row."""
        slots = [self.slots[adapter] for adapter in adapters]
        first, last = slots[0], slots[-1]
        if slots == list(range(first, last + 1)):
            return {name: tensor[first : last + 1] for name, tensor in self.tensors.items()}
        return {
            name: tensor.index_select(0, torch.tensor(slots, device=tensor.device))
            for name, tensor in self.tensors.items()
        }

    def _resize(self, room: int, example: Member) -> None:
        current = [adapter for adapter, member in self.members.items() if self.holds(adapter, member)]
        old = self.tensors
        self.tensors = {name: p.new_empty((room, *p.shape)) for name, p in example.parameters().items()}
        for name, tensor in old.items():
            self.tensors[name][: len(tensor)].copy_(tensor)
        for adapter in current:
            self._point(adapter)

    def _point(self, adapter: str) -> None:
        slot, member = self.slots[adapter], self.members[adapter]
        for name, parameter in member.parameters().items():
            parameter.data = self.tensors[name][slot]
        self._places[adapter] = [
            (registered, name, parameter, parameter.data_ptr())
            for registered in (*(part._parameters for part in member.parts.values()), {"scale": member.scale})
            for name, parameter in registered.items()
            if parameter is not None
        ]


@dataclass
class Group:
    """Adapters whose bottlenecks are computed together, with their parameters `[n, …]` by name."""

    adapters: tuple[str, ...]
    bottleneck: Bottleneck
    weights: dict[str, Tensor]

    def add_to(self, y: Tensor, x: Tensor, share: Share, *, training: bool) -> Tensor:
        """`y + B(x)` in the rows of the share: `x` is `[rows, tokens, d_in]`, `y` `[rows, tokens, d_out]`."""
        bottleneck, dtype = self.bottleneck, self.weights["down.weight"].dtype
        x = x if share.read is None else x.index_select(0, share.read)
        if x.dtype != dtype and not torch.is_autocast_enabled(x.device.type):
            x = x.to(dtype)
        hidden = self._product("down", x, share)
        if bottleneck.form == "gated":
            hidden = bottleneck.phi(self._product("gate", x, share)) * hidden
        else:
            hidden = bottleneck.phi(hidden)
        delta = self._product("up", hidden, share)
        scale = bottleneck.scale
        if scale is None:
            repeats = torch.tensor(share.counts, device=delta.device)
            delta = delta * self.weights["scale"].repeat_interleave(repeats, dim=0).unsqueeze(1)
        if bottleneck.dropout and training:
            delta = F.dropout(delta, bottleneck.dropout)
        delta = delta if share.kept is None else delta.index_select(0, share.kept)
        delta = delta if delta.dtype == y.dtype else delta.to(y.dtype)
        alpha = 1.0 if scale is None else scale
        if share.written is None:
            return torch.add(y, delta, alpha=alpha)
        return y.index_add(0, share.written, delta, alpha=alpha)

    def _product(self, part: str, x: Tensor, share: Share) -> Tensor:
        """`W x + b` of each row's own adapter."""
        weight, bias = self.weights[f"{part}.weight"], self.weights.get(f"{part}.bias")
        if share.even:
            rows = x.reshape(len(weight), -1, x.shape[-1])
            both = rows.bmm(weight.mT) if bias is None else torch.baddbmm(bias.unsqueeze(1), rows, weight.mT)
            return both.reshape(*x.shape[:-1], -1)
        biases = (None,) * len(weight) if bias is None else bias.unbind()
        parts = torch.split(x, share.counts)  # type: ignore[arg-type]  # a tuple serves, and torch says a list
        return torch.cat([F.linear(*terms) for terms in zip(parts, weight.unbind(), biases, strict=True)])


class Stacks:
    """The stacks of one layer. A copy of a layer begins without: its parameters are its own."""

    def __init__(self) -> None:
        self.stacks: dict[Kind, Stack] = {}
        self._kinds: dict[str, Kind] = {}

    def groups(self, members: Mapping[str, Member]) -> Iterator[Group]:
        """The groups of adapters to compute together; an adapter that must be called by itself is in none."""
        if torch.compiler.is_compiling():
            return  # a compiler does not follow a parameter to another tensor
        kinds: dict[Kind, list[str]] = {}
        missing = set()
        for adapter, member in members.items():
            kind = self._kinds.get(adapter)
            if kind is None or not self.stacks[kind].holds(adapter, member):
                kind = member.kind()
                missing.add(adapter)
            if kind is not None:
                kinds.setdefault(kind, []).append(adapter)
        for kind, adapters in kinds.items():
            chosen = {adapter: members[adapter] for adapter in adapters}
            yield self._group(kind, chosen, missing)

    def remove(self, adapter: str) -> None:
        """Forgets an adapter."""
        kind = self._kinds.pop(adapter, None)
        if kind is not None:
            self.stacks[kind].remove(adapter)
            if not self.stacks[kind].members:
                del self.stacks[kind]

    def _group(self, kind: Kind, members: Mapping[str, Member], missing: Container[str]) -> Group:
        new = {adapter: member for adapter, member in members.items() if adapter in missing}
        bottleneck = next(iter(members.values())).bottleneck
        if _in_graph(members.values()) or not all(self._owns_memory(*item) for item in new.items()):
            return Group(tuple(members), bottleneck, _copies([member.parameters() for member in members.values()]))
        for adapter in new:
            self.remove(adapter)
        stack = self.stacks.setdefault(kind, Stack())
        if new:
            stack.add(new)
            self._kinds.update(dict.fromkeys(new, kind))
        adapters = tuple(sorted(members, key=stack.slots.__getitem__))
        return Group(adapters, bottleneck, stack.weights(adapters))

    def _owns_memory(self, adapter: str, member: Member) -> bool:
        """Whether no parameter is a view of a larger tensor, to which others may write."""
        known = self._kinds.get(adapter)
        ours = {t.untyped_storage().data_ptr() for t in self.stacks[known].tensors.values()} if known else set()
        return not any(
            p.is_inference()
            or (p.untyped_storage().nbytes() != p.nbytes and p.untyped_storage().data_ptr() not in ours)
            for p in member.parameters().values()
        )

    def __deepcopy__(self, memo: dict[int, object]) -> Stacks:
        return Stacks()

    def __reduce__(self) -> tuple[type[Stacks], tuple[()]]:
        return Stacks, ()


def _in_graph(members: Iterable[Member]) -> bool:
    """Whether gradients are needed."""
    return torch.is_grad_enabled() and any(p.requires_grad for member in members for p in member.parameters().values())


def _copies(parameters: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([own[name] for own in parameters]) for name in parameters[0]}


def copy_slices(layer: Any, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    """A hook by which a layer's state dictionary holds tensors of their own in the place of slices.

    Otherwise `torch.save` of one adapter would save all adapters of its stack.
    """
    if layer.stacks.stacks:
        for name in [name for name in state if name.startswith(prefix + layer.prefix)]:
            value = state[name]
            if type(value) is Tensor and value.untyped_storage().nbytes() != value.nbytes:
                state[name] = value.clone()
