"""A model without the values of its weights, and calls of it that compute shapes alone.

The skeleton of a model shares its code and its configuration; its parameters are on the meta device. A call under
`ShapesOnly` costs no memory and no arithmetic. Numbers that do not come from weights (token ids, positions, masks) are
real, so that code which looks at them goes its usual way.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from ..registration import BaseTunerLayer

META = torch.device("meta")
_NUMBERS = {"item": 0, "__bool__": False, "__int__": 0, "__float__": 0.0, "__index__": 0}
# These look at values: of a tensor that has none, all count as other than zero.
_INDEXES = {"__getitem__", "__setitem__", "masked_select"}  # by masks
_SEARCHES = {"nonzero", "argwhere", "where"}
_MOVES = {"to", "cpu", "cuda", "type_as"}


def skeleton(module: nn.Module, seen: dict[nn.Module, nn.Module] | None = None) -> Any:
    """The skeleton of a module, in eval mode, without hooks and without adapters; the module itself is left alone."""
    seen = {} if seen is None else seen
    base = module.get_base_layer() if isinstance(module, BaseTunerLayer) else module
    if base in seen:
        return seen[base]
    if _is_quantised(base):
        sizes: Any = base
        seen[base] = nn.Linear(sizes.in_features, sizes.out_features, device=META)
        return seen[base]
    twin = seen[base] = object.__new__(type(base))
    attributes = dict(vars(base), training=False)
    if "_old_forward" in attributes:  # Accelerate's hook has taken its place
        del attributes["_old_forward"], attributes["forward"]
    for name, value in attributes.items():
        if "_hooks" in name:
            attributes[name] = OrderedDict()
        elif isinstance(value, (dict, list, set)):
            attributes[name] = copy.copy(value)
    vars(twin).update(attributes)
    for name, parameter in base._parameters.items():
        twin._parameters[name] = None if parameter is None else _without_values(parameter)
    for name, buffer in base._buffers.items():
        if buffer is not None and not buffer.is_meta:
            twin._buffers[name] = buffer.to("cpu", torch.float32 if buffer.is_floating_point() else None)
    for name, child in base._modules.items():
        twin._modules[name] = None if child is None else skeleton(child, seen)
    return twin


def _is_quantised(module: nn.Module) -> bool:
    """Whether a linear map keeps its weight in another shape or type than it computes with."""
    sizes = getattr(module, "out_features", None), getattr(module, "in_features", None)
    weight = getattr(module, "weight", None)
    if not all(isinstance(size, int) for size in sizes) or any(True for _ in module.children()):
        return False
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        return True
    return tuple(getattr(weight, "ds_shape", weight.shape)) != sizes


def _without_values(parameter: Tensor) -> nn.Parameter:
    """In single precision, and in its full shape where DeepSpeed has sharded it."""
    shape = getattr(parameter, "ds_shape", parameter.shape)
    return nn.Parameter(torch.empty(shape, device=META), requires_grad=False)


class ShapesOnly(TorchFunctionMode):
    """While it is on, what meets a tensor without values has none either, and nothing else loses its values."""

    def __torch_function__(
        self, function: Callable[..., object], types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        if name == "__get__":  # an attribute of a tensor
            return function(*args, **kwargs)
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        on_meta = any(tensor.is_meta for tensor in tensors)
        if on_meta and name in _NUMBERS:
            return _NUMBERS[name]
        if on_meta and name == "tolist":
            return torch.zeros(args[0].shape, dtype=args[0].dtype).tolist()
        indexes, searches = name in _INDEXES, name in _SEARCHES and (name != "where" or len(args) == 1)

        def met(value: Any) -> Any:
            if isinstance(value, torch.device) or (isinstance(value, str) and value in ("meta", "cpu")):
                return META if name in _MOVES and args[0].is_meta else "cpu"
            if not isinstance(value, Tensor):
                return value
            if searches or (indexes and not value.is_floating_point()):
                return (
                    torch.ones(value.shape) > 0 if value.is_meta and (searches or value.dtype == torch.bool) else value
                )
            is_size = not value.dim() and not value.is_floating_point()  # as it may be: it stays a number
            return value.to(META) if on_meta and not is_size and not value.is_meta else value

        args, kwargs = tree_map(met, (args, kwargs))
        if on_meta and name.endswith("grouped_mm"):  # on the meta device it takes bfloat16 only
            result = args[0].new_empty(*args[0].shape[:-1], args[1].shape[-1])
        else:
            result = function(*args, **kwargs)
        self.computed(name, tensors, result)
        return result

    def computed(self, name: str, tensors: list[Tensor], result: object) -> None:
        """Is called after each function of torch with the tensors that it took and what it gave."""
