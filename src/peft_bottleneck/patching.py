"""Methods that other libraries bind to a wrapper move to the wrapped module.

Some libraries patch a model in place: Liger Kernel and others write a faster `forward` into the instance of a module
of a known name, `layer.mlp` for example. Where that is a wrapper already, the new `forward` finds the wrapped module's
parts through the wrapper, computes the wrapped module's output, and silently leaves the adapter out. So a method
bound to a wrapper moves to the wrapped module, with its attributes. A `forward` that calls the
wrapper's own, as the hooks of Accelerate do, stays where it is.
"""

from __future__ import annotations

from collections.abc import Collection
from types import MethodType

from torch import nn


def hand_on_methods(wrapper: nn.Module, base: nn.Module, own: Collection[str]) -> None:
    """Moves a `forward` bound to the wrapper, and its attributes, to the wrapped module.

    Args:
        wrapper: the module whose instance may have a `forward`.
        base: the module that it wraps.
        own: names of attributes that are the wrapper's.
    """
    attributes = vars(wrapper)
    if not _replaces(attributes.get("forward"), wrapper):
        return
    for name, value in list(attributes.items()):
        if isinstance(value, MethodType) and value.__self__ is wrapper:
            vars(base)[name] = MethodType(value.__func__, base)
        elif name in own or name.startswith("_") or hasattr(type(wrapper), name):
            continue
        else:
            vars(base)[name] = value
        del attributes[name]


def _replaces(forward: object, wrapper: nn.Module) -> bool:
    """Whether this `forward` is a method bound to the wrapper that does not lead back to the wrapper's own."""
    if not isinstance(forward, MethodType) or forward.__self__ is not wrapper:
        return False
    cells = [cell.cell_contents for cell in getattr(forward.__func__, "__closure__", None) or ()]
    return not any(getattr(value, "__self__", None) is wrapper for value in cells)
