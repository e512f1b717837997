"""What the blocks of a model compute from what, read off calls of its skeleton.

Names of modules, and the order in which they are registered, do not show the flow of data; a call does. In each block
the linear maps and the norms are followed: which of them made the tensor that another one reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from ..modules import is_norm
from .calling import call_blocks, quietly
from .skeleton import ShapesOnly, skeleton

INPUT = ""  # the name of a block's own input among the sources of a tensor
Sources = frozenset[str]
_Node = tuple[str, str]  # a block and the name of a module in it
_Nodes = frozenset[_Node]
_NEW = ("_like", "new_")  # functions that take the shape of a tensor and not its values
_PRODUCTS = {"mul", "mul_", "multiply", "__mul__", "__rmul__", "__imul__"}


@dataclass(frozen=True)
class Call:
    """One call of a module: its first tensor in and out, without values, and the sources of the first.

    Sources are the maps and norms of the block, or `INPUT`, that a tensor was made of without others in between.
    """

    reads: Tensor
    writes: Tensor
    sources: Sources

    @property
    def sizes(self) -> tuple[int, int]:
        """Channels in and out."""
        return self.reads.shape[-1], self.writes.shape[-1]


@dataclass
class BlockFlow:
    """What one block did when it was called.

    Attributes:
        width: channels of its input.
        returns: the last dimension of what it returned.
        calls: the calls of its modules by name, in the order in which they ended.
        maps, norms: the names of its linear maps and norms.
        gates: maps whose output multiplies the tensor that they read, as in `x * softmax(W x)`.
        idle: the shapes of the matrices that the last call left out, by the names of their modules.
        result: the sources of what it returned.
    """

    width: int
    returns: int = 0
    calls: dict[str, Call] = field(default_factory=dict)
    maps: set[str] = field(default_factory=set)
    norms: set[str] = field(default_factory=set)
    gates: set[str] = field(default_factory=set)
    idle: dict[str, tuple[int, ...]] = field(default_factory=dict)
    result: Sources = frozenset()

    def add(self, name: str, call: Call, followed: bool, norm: bool) -> None:
        self.calls.pop(name, None)
        self.calls[name] = call
        if followed:
            (self.norms if norm else self.maps).add(name)

    def feeding(self, sources: Sources) -> Sources:
        """The maps, or `INPUT`, behind these sources, norms left out."""
        found: set[str] = set()
        following = list(sources)
        while following:
            source = following.pop()
            if source in self.norms:
                following += self.calls[source].sources
            else:
                found.add(source)
        return frozenset(found)

    def behind(self, sources: Sources) -> Sources:
        """All maps and norms that these sources, and what they read, were made of."""
        found: set[str] = set()
        following = list(sources)
        while following:
            source = following.pop()
            if source in self.calls and source not in found:
                found.add(source)
                following += self.calls[source].sources
        return frozenset(found)


class _Recorder(ShapesOnly):
    """Follows the sources of tensors, by their storage: what shares it is a view, and counts as the same."""

    def __init__(self, blocks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.flows: dict[str, BlockFlow] = {}  # of the blocks that came to their end
        self.sources: dict[int, _Nodes] = {}
        self.kept: list[Tensor] = []  # else another tensor could get the storage of one that is gone
        self._open: dict[str, BlockFlow] = {}
        places: dict[nn.Module, list[_Node]] = {}  # a module may be in a block of a stage, which is followed as well
        for name, block in blocks.items():
            block.register_forward_pre_hook(self._entering(name), with_kwargs=True)
            for inner, module in block.named_modules():
                if inner:
                    places.setdefault(module, []).append((name, inner))
        for module, nodes in places.items():
            self._follow(module, nodes)
        for name, block in blocks.items():
            block.register_forward_hook(self._leaving(name))

    def computed(self, name: str, tensors: list[Tensor], result: Any) -> None:
        if name.startswith(_NEW[1]) or name.endswith(_NEW[0]):
            return
        if name in _PRODUCTS and len(tensors) == 2:
            self._find_gates(*tensors)
        found = frozenset().union(*(self.sources.get(storage_of(tensor), frozenset()) for tensor in tensors))
        if found:
            written = [value for value in tree_leaves(result) if isinstance(value, Tensor)]
            in_place = name == "__setitem__" or (name.endswith("_") and (name[:3] == "__i" or name[:2] != "__"))
            for tensor in [*written, *(tensors[:1] if in_place else ())]:
                self._set(tensor, found)

    def _find_gates(self, *factors: Tensor) -> None:
        for factor, other in (factors, factors[::-1]):
            for block, name in self._sources(factor):
                flow = self._open.get(block)
                if flow is not None and name in flow.maps and same_storage(flow.calls[name].reads, other):
                    flow.gates.add(name)

    def _set(self, tensor: Tensor, sources: _Nodes) -> None:
        storage = storage_of(tensor)
        if storage:
            self.sources[storage] = sources
            self.kept.append(tensor)

    def _sources(self, tensor: Tensor) -> _Nodes:
        return self.sources.get(storage_of(tensor), frozenset())

    def _entering(self, block: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: object, kwargs: object) -> None:
            hidden = first_tensor((args, kwargs))
            if hidden is not None:
                self._open[block] = BlockFlow(hidden.shape[-1])
                others = frozenset(node for node in self._sources(hidden) if node[0] != block)
                self._set(hidden, others | {(block, INPUT)})

        return hook

    def _leaving(self, block: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: object, output: object) -> None:
            result = first_tensor(output)
            if result is not None and block in self._open:
                flow = self.flows[block] = self._open.pop(block)
                flow.result, flow.returns = _of_block(self._sources(result), block), result.shape[-1]

        return hook

    def _follow(self, module: nn.Module, nodes: list[_Node]) -> None:
        entered: list[tuple[Tensor, _Nodes] | None] = []

        def before(module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
            reads = first_tensor((args, kwargs))
            entered.append(None if reads is None else (reads, self._sources(reads)))

        def after(module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object], output: object) -> None:
            given, writes = entered.pop() if entered else None, first_tensor(output)
            if given is None or writes is None:
                return
            norm = is_norm(module)
            followed = norm or _is_map(module, given[0], writes)
            for block, name in nodes:
                if block in self._open:
                    self._open[block].add(name, Call(given[0], writes, _of_block(given[1], block)), followed, norm)
            if followed:
                self._set(writes, frozenset(nodes))

        module.register_forward_pre_hook(before, with_kwargs=True)
        module.register_forward_hook(after, with_kwargs=True)


def _of_block(nodes: _Nodes, block: str) -> Sources:
    return frozenset(name for owner, name in nodes if owner == block)


def observe(model: nn.Module, names: Iterable[str]) -> tuple[dict[str, BlockFlow], dict[str, str]]:
    """What the blocks of these names do in a call of the model, and for blocks that no call reaches the reason."""
    with quietly():
        root = skeleton(model)
        modules = dict(root.named_modules())
        blocks = {name: modules[name] for name in names}
        recorder = _Recorder(blocks)
        reasons = call_blocks(root, blocks, recorder, lambda: recorder.flows)
    for name, flow in recorder.flows.items():
        flow.idle = {inner: shape for inner, shape in _matrices(blocks[name]) if inner not in flow.calls}
    return recorder.flows, reasons


def _matrices(block: nn.Module) -> Iterator[tuple[str, tuple[int, ...]]]:
    for name, module in block.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.dim() == 2:
            yield name, tuple(weight.shape)


def _is_map(module: nn.Module, reads: Tensor, writes: Tensor) -> bool:
    """Whether a module is one linear map on the last dimension, of whatever class it is."""
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.dim() != 2 or any(True for _ in module.children()):
        return False
    sizes = reads.shape[-1], writes.shape[-1]
    return reads.is_floating_point() and tuple(weight.shape) in (sizes, sizes[::-1])


def first_tensor(value: object) -> Tensor | None:
    """The first tensor with channels in arguments or in what a module returns."""
    leaves = tree_leaves(dict(value) if isinstance(value, dict) else value)
    return next((leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.dim() > 1), None)


def same_storage(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors without values are one, or views of one."""
    return storage_of(one) == storage_of(other)


def storage_of(tensor: Tensor) -> int:
    try:
        pointer: int = tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):  # inside `vmap` a tensor has none
        return 0
    return pointer
