"""Calls that begin above the frozen blocks of a model: their output comes from a store.

The model's own `forward` runs as it is: embeddings, masks, rotary angles. Only the frozen blocks are replaced, for the
length of a call, by the hidden states that the last of them gave for these inputs before.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .fingerprint import Precision, check_whole, describe, fingerprint, frozen_tensors, state_of
from .models import base_of, find_prefix
from .probe import check_equal, outputs_of
from .rows import Inputs, read_inputs
from .stack import frozen_blocks, has_rows_of_their_own
from .store import Store
from .switches import Reached, Replaced, evaluating, replaced_forwards, without_cache


@dataclass
class _Plan:
    """One state of the model: how many blocks are frozen, and where their outputs are."""

    blocks: int
    tensors: Mapping[str, Tensor]
    precision: Precision
    store: Store | None = None
    computed: torch.dtype | None = None
    checked: bool = False
    checked_padding: bool = False


class FrozenPrefix:
    """What `reuse_prefix` returns.

    Attributes:
        blocks: how many blocks are reused, by the model's present state.
        rows_read, rows_computed: rows of all calls so far by where the frozen blocks' output came from.
        plain_calls: calls that ran without reuse.
    """

    def __init__(self, model: nn.Module, store: Path, *, limit: int, dtype: torch.dtype | None) -> None:
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ValueError(f"limit must be a number of bytes above 0, got {limit!r}")
        if dtype not in (None, torch.float32, torch.float16, torch.bfloat16):
            raise ValueError(f"dtype must be float32, float16, bfloat16 or None, got {dtype!r}")
        base = base_of(model)
        if any(isinstance(vars(module).get("forward"), Replaced) for module in base.modules()):
            raise ValueError(f"{type(base).__name__} reuses its prefix already; close that first.")
        self.stack, self.blocks = find_prefix(model)
        self.folder, self.limit, self.dtype = store, limit, dtype
        self.owner: Any = base.get_submodule(self.stack.owner)
        self._signature = inspect.signature(self.owner.forward)
        store.mkdir(parents=True, exist_ok=True)
        self.rows_read = self.rows_computed = self.plain_calls = 0
        self._stores: dict[str, Store] = {}
        self._plans: dict[object, _Plan] = {}
        self._plainly = False  # while a call or `generate` runs without reuse
        self._closed = False
        self._replaced: list[tuple[Any, str, Replaced]] = []
        self._replace(self.owner, "forward", self._forward)
        if hasattr(base, "generate"):
            self._replace(base, "generate", self._generate)

    def __enter__(self) -> FrozenPrefix:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        stored = f"{sum(map(len, self._stores.values())):,} rows stored ({self.size / 2**20:,.1f} MiB)"
        return (
            f"{self.blocks} blocks reused: {self.rows_read:,} rows read, {self.rows_computed:,} computed, {stored}, "
            f"{self.plain_calls:,} calls without reuse"
        )

    @property
    def size(self) -> int:
        """Bytes of the stores that this model has used."""
        return sum(store.size for store in self._stores.values())

    def close(self) -> None:
        """Lets calls run as before. The stored rows stay for the next time."""
        self._closed = True
        for module, name, replaced in self._replaced:
            if vars(module).get(name) is replaced:  # else a wrapper holds it, and it lets everything through
                replaced.restore(module, name)
        for store in self._stores.values():
            store.close()

    def _replace(self, module: Any, name: str, by: Callable[..., object]) -> None:
        replaced = Replaced(by, getattr(module, name), vars(module).get(name))
        vars(module)[name] = replaced
        self._replaced.append((module, name, replaced))

    def _generate(
        self, generate: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> object:
        before, self._plainly = self._plainly, True
        try:
            return generate(*args, **kwargs)
        finally:
            self._plainly = before

    def _forward(self, forward: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        if self._closed or self._plainly:
            return forward(*args, **kwargs)
        inputs = read_inputs(self._signature, self.owner.main_input_name, args, kwargs)
        plan = None if inputs is None or self._asks_for_more() else self._plan_now(inputs)
        if inputs is None or plan is None:
            self.plain_calls += 1
            return forward(*args, **kwargs)
        with without_cache(self.owner.config):
            if not plan.checked or (inputs.is_padded and not plan.checked_padding):
                self._check(plan, forward, inputs)
            hidden = self._hidden(plan, forward, inputs)
            with self._given(plan, hidden):
                return forward(*args, **kwargs)

    def _asks_for_more(self) -> bool:
        """Whether the configuration asks for what all blocks give."""
        config = self.owner.config
        asked = [getattr(config, key) for key in vars(config) if key.startswith("output_")]
        return True in asked or bool(getattr(config, "output_attentions", False))

    def _plan_now(self, inputs: Inputs) -> _Plan | None:
        """The plan for the model as it is now; None where no block is frozen, or rows have adapters of their own."""
        blocks, _ = frozen_blocks(self.owner, self.stack)
        tensors = dict(frozen_tensors(self.owner, self.stack, blocks))
        device = next(iter(tensors.values())).device
        given = inputs.device
        if device.type == given.type == "cuda" and device != given:
            raise RuntimeError(
                f"A call on {given} reached the model on {device}: nn.DataParallel cannot reuse a prefix. Launch one "
                "process per GPU."
            )
        precision = Precision.now(given)
        state = (blocks, precision, state_of(tensors))
        if state not in self._plans:
            check_whole(self.owner, tensors)
            self._plans[state] = _Plan(blocks, tensors, precision)
        self.blocks = blocks
        frozen = self._blocks()[:blocks]
        if not blocks or any(has_rows_of_their_own(module) for block in frozen for module in block.modules()):
            return None
        return self._plans[state]

    def _blocks(self) -> list[nn.Module]:
        return list(self.owner.get_submodule(self.stack.blocks).children())

    def _check(self, plan: _Plan, forward: Callable[..., object], inputs: Inputs) -> None:
        """Compares one batch with and without reuse, in evaluation mode.

        Raises:
            ValueError: they differ.
        """
        every = range(inputs.size)
        hidden = self._compute(plan, forward, inputs, every)
        kept = hidden if inputs.real(hidden.shape) is None else hidden.clone()
        real = inputs.real(hidden.shape)
        if real is not None:
            kept[~real.to(kept.device)] = 0
        with torch.no_grad(), evaluating(self.owner):
            expected = outputs_of(forward(**inputs.values))
            with self._given(plan, kept):
                found = outputs_of(forward(**inputs.values))
        check_equal(type(self.owner).__name__, plan.blocks, expected, found, inputs)
        self._open(plan, hidden.dtype)
        plan.checked, plan.checked_padding = True, plan.checked_padding or inputs.is_padded

    def _hidden(self, plan: _Plan, forward: Callable[..., object], inputs: Inputs) -> Tensor:
        """The output of the frozen blocks `[batch, tokens, d]`, zero at padding."""
        store, keys = plan.store, inputs.keys()
        assert store is not None  # opened after the check
        lengths = [store.tokens(key) for key in keys]
        missing = [row for row, length in enumerate(lengths) if length is None]
        computed: list[Tensor] = []
        tokens = max((length for length in lengths if length is not None), default=0)
        if missing:
            states = self._compute(plan, forward, inputs, missing)
            tokens = states.shape[1]
            masked = inputs.real((inputs.size, tokens)) is not None
            ends = [inputs.lengths[row] if masked and inputs.lengths else tokens for row in missing]
            computed = [states[place, :end].to(store.dtype) for place, end in enumerate(ends)]
            store.write([(keys[row], value) for row, value in zip(missing, computed, strict=True)])
        elif inputs.lengths == lengths:
            tokens = inputs.width
        hidden = torch.zeros(inputs.size, tokens, self.stack.width, dtype=store.dtype)
        for row, length in enumerate(lengths):
            if length is not None:
                store.read(keys[row], hidden[row, :length])
        result = hidden.to(inputs.device, plan.computed)
        for row, value in zip(missing, computed, strict=True):
            result[row, : len(value)] = value
        self.rows_read += inputs.size - len(missing)
        self.rows_computed += len(missing)
        return result

    def _open(self, plan: _Plan, computed: torch.dtype) -> None:
        """Opens the store of a plan whose frozen blocks compute numbers of this type."""
        if plan.store is None:
            dtype = self.dtype or computed
            description = describe(self.owner, self.stack, plan.blocks, plan.precision, dtype)
            name = fingerprint(description, plan.tensors)
            if name not in self._stores:
                self._stores[name] = Store(
                    self.folder, name, description, width=self.stack.width, dtype=dtype, limit=self.limit
                )
            plan.store, plan.computed = self._stores[name], computed

    def _compute(self, plan: _Plan, forward: Callable[..., object], inputs: Inputs, rows: Sequence[int]) -> Tensor:
        """The output of the frozen blocks for some of the rows, without dropout."""
        last = self._blocks()[plan.blocks - 1]
        own = last.forward

        def reach(*args: object, **kwargs: object) -> object:
            output = own(*args, **kwargs)
            raise Reached(output[0] if isinstance(output, (tuple, list)) else output)

        with torch.no_grad(), evaluating(self.owner), replaced_forwards({last: reach}):
            try:
                forward(**inputs.of(rows))
            except Reached as reached:
                return reached.hidden
        raise ValueError(f"{type(self.owner).__name__} has not called the blocks of {self.stack.blocks}.")

    @contextmanager
    def _given(self, plan: _Plan, hidden: Tensor) -> Iterator[None]:
        """While it is on, each frozen block returns `hidden`."""
        frozen = self._blocks()[: plan.blocks]
        first, compute = frozen[0], frozen[0].forward
        further: tuple[object, ...] | None = None

        def begin(*args: object, **kwargs: object) -> object:
            nonlocal further
            with torch.no_grad(), evaluating(first):
                further = tuple(compute(*args, **kwargs)[1:])
            return given(*args, **kwargs)

        def given(*args: object, **kwargs: object) -> object:
            incoming = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
            if torch.is_grad_enabled() and incoming is not None and incoming.requires_grad:
                hidden.requires_grad_()  # asked of the embeddings, by reentrant checkpointing
            return self.stack.output(hidden, further)

        # Gradient checkpointing leaves blocks in evaluation mode alone, and dropout in front of them is lost time.
        resting = [
            *frozen,
            *(module for name, module in self.stack.upstream(self.owner) if not self.stack.holds(name)),
        ]
        training = [module.training for module in resting]
        for module in resting:
            module.training = False
        try:
            by = dict.fromkeys(frozen, given) | ({first: begin} if self.stack.hands_on else {})
            with replaced_forwards(by):
                yield
        finally:
            for module, was in zip(resting, training, strict=True):
                module.training = was
