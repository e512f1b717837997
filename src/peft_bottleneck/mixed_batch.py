"""Calls with `adapter_names=[…]`: each row of the batch has its own adapter, and its own task head."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .hooks import recomputed_within
from .layer import BASE, BottleneckLayer
from .registration import AuxiliaryTrainingWrapper, ModulesToSaveWrapper
from .rows import Rows
from .tuner_layer import TunerLayer

_BATCH_ELSEWHERE = (nn.RNNBase, nn.MultiheadAttention)  # modules whose first dimension may be another than the batch's


@contextmanager
def mixed_batch(model: nn.Module, names: Sequence[str], args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[None]:
    """While a call of the model with these arguments runs, each row of its batch has the adapter of its name.

    Raises:
        ValueError: a name is no adapter's, there are more or fewer names than rows, or adapters are merged.
    """
    modules = list(_modules(model))
    layers = [module for module in modules if isinstance(module, BottleneckLayer)]
    if any(layer.merged_adapters for layer in layers):
        raise ValueError(
            "Cannot pass `adapter_names` when there are merged adapters, please call `unmerge_adapter` first."
        )
    known = {name for layer in layers for name in (*layer.bottlenecks, *layer.compositions)} | {BASE}
    unknown = sorted(set(names) - known)
    if unknown:
        raise ValueError(
            f"Trying to infer with non-existing adapter(s): {', '.join(unknown)}; the model has {sorted(known)}."
        )
    rows = next((len(value) for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), len(names))
    if rows != len(names):
        raise ValueError(
            "Length of `adapter_names` should be the same as the number of inputs, but got "
            f"{len(names)} and {rows} respectively."
        )
    beams = kwargs.get("num_beams") or 1
    given, repeated = Rows(names), Rows([name for name in names for _ in range(beams)])
    encoder = _encoder(model)
    first = set() if encoder is None else set(_modules(encoder))  # an encoder runs before beams are made
    scope = partial(_rows_known, [(module, given if module in first else repeated) for module in modules])
    with recomputed_within(modules, scope), scope():
        yield


@contextmanager
def _rows_known(rows_of: Sequence[tuple[nn.Module, Rows]]) -> Iterator[None]:
    """Gives layers and task heads the rows of the call."""
    with ExitStack() as stack:
        for module, rows in rows_of:
            if isinstance(module, TunerLayer):
                stack.callback(setattr, module, "rows", module.rows)
                module.rows = rows
            elif isinstance(module, ModulesToSaveWrapper):
                stack.enter_context(_forward_by(module, rows))
            elif isinstance(module, AuxiliaryTrainingWrapper):
                hook = module.register_forward_pre_hook(_with_adapter_names(rows), with_kwargs=True)
                stack.callback(hook.remove)
        yield


@contextmanager
def _forward_by(wrapper: object, rows: Rows) -> Iterator[None]:
    """Has a task head's wrapper send each row to the copy of the row's adapter."""
    place = "_old_forward" if "_old_forward" in vars(wrapper) else "forward"  # the former under Accelerate
    before = vars(wrapper).get(place)
    wrapper.__dict__[place] = partial(_head_of_each_row, wrapper, rows)
    try:
        yield
    finally:
        if before is None:
            del wrapper.__dict__[place]
        else:
            wrapper.__dict__[place] = before


def _head_of_each_row(wrapper: Any, rows: Rows, x: Tensor, *args: object, **kwargs: object) -> Any:
    """The output of each row's own copy of a module, or of the original where the row's adapter has no copy."""
    original, rows = wrapper.original_module, rows.repeated(len(x))
    if wrapper.disable_adapters:
        return original(x, *args, **kwargs)
    if any(isinstance(module, _BATCH_ELSEWHERE) for module in original.modules()):
        supported = "Linear, Embedding, Conv1d, Conv2d, Conv3d"
        raise TypeError(
            f"Mixed batching is only supported for the following modules: {supported}. More generally, for modules "
            f"that compute each row of a batch by itself; a {type(original).__name__} may not."
        )
    copies = {name: wrapper.modules_to_save[name] for name in set(rows.names) & set(wrapper.modules_to_save)}
    by_copy = {name: rows.of(name) for name in sorted(copies)}
    others = [row for row, name in enumerate(rows.names) if name not in copies]
    parts = [copies[name](x[own], *args, **kwargs) for name, own in by_copy.items()]
    if others:
        parts.append(original(x[others], *args, **kwargs))
    order = [row for own in (*by_copy.values(), others) for row in own]
    if not all(isinstance(part, Tensor) for part in parts):
        raise TypeError(f"adapter_names: {type(original).__name__} returns no tensor with a row for each input row.")
    return torch.cat(parts)[torch.tensor(order, device=x.device).argsort()]


def _modules(module: nn.Module) -> Iterator[nn.Module]:
    """A module and those in it, except those of adapters: there may be thousands."""
    yield module
    for child in (module.base_layer,) if isinstance(module, BottleneckLayer) else module.children():
        yield from _modules(child)


def _encoder(model: nn.Module) -> nn.Module | None:
    """The encoder of an encoder-decoder; for other models transformers 5 returns the model itself."""
    base: Any = getattr(model, "model", model)
    get_encoder: Any = getattr(base, "get_encoder", None)
    encoder: nn.Module | None = get_encoder() if get_encoder is not None else None
    return None if encoder is base else encoder


def _with_adapter_names(rows: Rows) -> Callable[..., tuple[object, dict[str, object]]]:
    """A pre-hook that passes each row's adapter to PEFT's other wrappers, as PEFT's own tuners do."""

    def hook(module: nn.Module, args: object, kwargs: dict[str, object]) -> tuple[object, dict[str, object]]:
        return args, kwargs | {"adapter_names": list(rows.names)}

    return hook
