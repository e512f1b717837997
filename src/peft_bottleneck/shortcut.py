"""The sole bottleneck of a layer without the calls around its products: what almost every call comes to.

Between two layers the weights of a base model pass through the processor's caches, so that every Python object on the
way to a small product is fetched from main memory again: for one short text, looking parts up and calling them takes
a good part of the time. So a layer keeps at hand what was found once, and leaves calls out where nobody could tell.

A shortcut is a plain tuple, which a single instruction unpacks; `()` says that there is none. It is dropped when an
attribute of the layer is set (other adapters in force, a new base layer, a replica of `nn.DataParallel`) and when the
layer is copied. What can change elsewhere is looked at in every call: hooks, parts put into the place of others
(conversion), their class (sharding, parametrisation), their `forward` (offloading), where their parameters are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules import module as torch_module

if TYPE_CHECKING:
    from .layer import BottleneckLayer

Shortcut = tuple[Any, ...]

_Linear = nn.Linear
_linear_forward = nn.Linear.forward
_linear = F.linear
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
_GLOBAL_HOOKS: Shortcut = tuple(getattr(torch_module, f"_global{name}") for name in _HOOKS)
_PARAMETERS = 2  # weight and bias; fewer where sharding or `nn.DataParallel` has moved them out of `_parameters`


def shortcut_of(layer: BottleneckLayer) -> Shortcut:
    """The shortcut of a layer as it stands, looked for where none is at hand."""
    # A compiler leaves calls out itself, and is not to guard what is kept.
    if torch.compiler.is_compiling() or _Linear.forward is not _linear_forward:
        return ()
    kept = layer.shortcut
    if kept is None:
        kept = layer.__dict__["shortcut"] = _find(layer)
    return kept


def base_output(shortcut: Shortcut, x: Tensor) -> Tensor | None:
    """What the base layer computes, where that is a plain linear layer; None where it has to be called."""
    of_base = shortcut[-1]
    if not of_base:
        return None
    hooks, modules, base, own = of_base
    if (
        any(hooks)
        or modules["base_layer"] is not base
        or type(base) is not _Linear
        or "forward" in base.__dict__
        or len(own) != _PARAMETERS
    ):
        return None
    return _linear(x, own["weight"], own["bias"])


def add_sole(layer: BottleneckLayer, y: Tensor, x: Tensor) -> Tensor | None:
    """`y + B(x)` of the sole bottleneck in force; None where there are others, or its parts have to be called."""
    shortcut = shortcut_of(layer)
    if not shortcut:
        return None
    to_be_empty, downs, down, first, ups, up, second, name, phi, scale, _ = shortcut
    if (
        any(to_be_empty)
        or downs.get(name) is not down
        or ups.get(name) is not up
        or not (type(down) is type(up) is _Linear)
        or "forward" in down.__dict__
        or "forward" in up.__dict__
        or not (len(first) == len(second) == _PARAMETERS)
    ):
        return None
    weight = first["weight"]
    if not (weight.dtype == x.dtype == y.dtype):
        return None
    # Contiguous for the reason that `Bottleneck.add_to` gives.
    delta = _linear(phi(_linear(x.contiguous(), weight, first["bias"])), second["weight"], second["bias"])
    return y + delta if scale == 1.0 else torch.add(y, delta, alpha=scale)


def _find(layer: BottleneckLayer) -> Shortcut:
    sole = layer.sole()
    if sole is None or not sole.plain:
        return ()
    base, downs, ups = (layer.get_submodule(part) for part in ("base_layer", sole.down, sole.up))
    down, up = downs.get_submodule(sole.adapter), ups.get_submodule(sole.adapter)
    to_be_empty = (layer.merged_adapters, layer.taps, *_hooks(down), *_hooks(up), *_GLOBAL_HOOKS)
    parts = (downs._modules, down, down._parameters, ups._modules, up, up._parameters)
    of_base = ((*_hooks(base), *_GLOBAL_HOOKS), layer._modules, base, base._parameters)
    return (to_be_empty, *parts, sole.adapter, sole.phi, sole.scale, of_base if type(base) is _Linear else ())


def _hooks(module: nn.Module) -> Shortcut:
    return tuple(getattr(module, name) for name in _HOOKS)
