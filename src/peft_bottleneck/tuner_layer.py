"""The base class of tuner layers: a module of the base model, and parts of named adapters around it.

The code of every call reads attributes and dictionaries directly, past properties and `__getattr__`: on a processor
Python costs a short text as much as the products.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .patching import hand_on_methods
from .registration import BaseTunerLayer
from .rows import Rows


class TunerLayer(nn.Module, BaseTunerLayer):  # type: ignore[misc]
    """Wraps `base_layer`; the weights of adapter `a` are `<prefix><part>.a`, as PEFT loads them."""

    prefix: str

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.merged_adapters: list[str] = []
        self.rows: Rows | None = None  # set while a call with `adapter_names` runs
        self.was_called = False  # asked only where another `forward` is bound to this layer
        self.own_attributes: frozenset[str] = frozenset()

    def release(self) -> None:
        """Gives the base layer and other modules back as they are without adapters."""
        hand_on_methods(self, self.base_layer, self.own_attributes)

    def holds(self, adapter: str) -> bool:
        """Whether the adapter has a part in this layer."""
        raise NotImplementedError

    def parts(self, adapter: str) -> dict[str, Any]:
        """The modules of one adapter in this layer by name."""
        raise NotImplementedError

    def merge_problem(self, adapter: str) -> str | None:
        """Why this layer cannot merge this adapter; None if it can, or if only `merge` finds out."""
        return None

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Computes the adapters in the weights of the base layer, where a method can do that.

        Raises:
            NotImplementedError: it cannot.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot merge adapters.")

    def enable_adapters(self, enabled: bool) -> None:
        """Disabled adapters must not be in the base model's weights either."""
        if not enabled and self.merged_adapters:
            self.unmerge()
        super().enable_adapters(enabled)

    def _mixed_batch_forward(self, *args: object, adapter_names: Sequence[str], **kwargs: object) -> Any:
        """One call of this layer with an adapter for each row of the batch; `mixed_batch` does so for a model."""
        before, self.rows = self.rows, Rows(adapter_names)
        try:
            return self(*args, **kwargs)
        finally:
            self.rows = before

    def forward(self, *args: object, **kwargs: object) -> Any:
        """The layer's output, in place of the base layer's; sets `was_called` where `__call__` needs it."""
        raise NotImplementedError

    def __call__(self, *args: object, **kwargs: object) -> object:
        """The output of `forward`, also where another library has bound one to this layer (`patching`).

        Raises:
            RuntimeError: the `forward` bound to this layer does not call the adapters.
        """
        if "forward" not in self.__dict__:
            return nn.Module.__call__(self, *args, **kwargs)
        hand_on_methods(self, self.base_layer, self.own_attributes)
        if "forward" not in self.__dict__:
            return super().__call__(*args, **kwargs)
        self.was_called = False
        output = super().__call__(*args, **kwargs)
        if not self.was_called:
            raise RuntimeError(
                f"Another library has set the forward of a {type(self).__name__} around "
                f"{type(self.base_layer).__name__} to {vars(self)['forward']!r}, which does not call the adapters. "
                "Let it patch the model before the adapters are added."
            )
        return output

    def combine(self, adapter_name: str, weights: Mapping[str, float]) -> None:
        """Sets an adapter's parameters to the weighted sum of those of others of the same shapes."""
        for name in self.adapter_layer_names:
            part = getattr(self, name)
            if adapter_name in part:
                own = _parameters(part[adapter_name])
                others = [[weight * p for p in _parameters(part[other])] for other, weight in weights.items()]
                for parameter, *terms in zip(own, *others, strict=True):
                    parameter.copy_(sum(terms))

    def _part(self, name: str) -> Any:
        return getattr(self, self.prefix + name)

    def __getattr__(self, name: str) -> Any:
        """Attributes that the model reads from the module (`mlp.act_fn`, …) come from the wrapped module."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base_layer":
                raise
            return getattr(self.base_layer, name)


def _parameters(part: nn.Module | nn.Parameter) -> list[Tensor]:
    return [part] if isinstance(part, nn.Parameter) else list(part.parameters())


def device_and_dtype(module: nn.Module) -> tuple[torch.device | None, torch.dtype | None]:
    """The device and the type of a module's computation: 4-bit layers name it, and store their weights in another."""
    parameters = sorted(module.parameters(), key=lambda parameter: not parameter.is_floating_point())
    types = [getattr(part, "compute_dtype", None) for part in module.modules()]
    types += [parameter.dtype for parameter in parameters if parameter.is_floating_point()]
    dtype = next((dtype for dtype in types if isinstance(dtype, torch.dtype)), None)
    device = parameters[0].device if parameters else None
    if device is not None and device.type == "meta":  # offloaded by Accelerate: the weights come when they are needed
        places = [getattr(getattr(part, "_hf_hook", None), "execution_device", None) for part in module.modules()]
        device = next((torch.device(place) for place in places if place is not None), None)
    return device, dtype
