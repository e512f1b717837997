"""Changes the adapters of a model in place: a temporary scale, or the weights of another adapter.

PEFT has both for LoRA layers alone, in `peft.helpers` and `peft.utils.hotswap`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike

import torch
from peft.utils import get_peft_model_state_dict, load_peft_weights
from torch import Tensor, nn
from transformers import PreTrainedModel

from .config import BottleneckConfig
from .layer import BottleneckLayer
from .registration import PeftConfig

# The fields that make two adapters the same function of their parameters.
_EQUATION = (
    "non_linearity",
    "bottleneck",
    "kernel_size",
    "input_modules",
    "output_modules",
    "parallel_input",
    "trainable_token_indices",
)


@contextmanager
def rescale_adapter_scale(model: nn.Module, multiplier: float) -> Iterator[None]:
    """While the context lasts, every bottleneck of the model is `multiplier·B(x)`; such contexts multiply.

    Args:
        model: a model with bottlenecks.
        multiplier: any number; 0 leaves the base model.

    Raises:
        TypeError: `multiplier` is not a number.
        ValueError: the model has no bottleneck adapters.
    """
    if isinstance(multiplier, bool) or not isinstance(multiplier, (int, float)):
        raise TypeError(f"multiplier must be a number, got {multiplier!r}")
    layers = _layers(model)
    before = [layer.multiplier for layer in layers.values()]
    for layer in layers.values():
        layer.multiplier *= multiplier
    try:
        yield
    finally:
        for layer, value in zip(layers.values(), before, strict=True):
            layer.multiplier = value


def hotswap_adapter(
    model: PreTrainedModel, model_name_or_path: str | PathLike[str], adapter_name: str = "default", **kwargs: object
) -> None:
    """Puts the weights of a saved adapter into the parameters of a loaded one, in place.

    Nothing that `torch.compile` guards changes, so a compiled model runs on without another compilation. The saved
    adapter may be smaller: with fewer neurons, the others get zeros; at fewer modules, `W_up` is zero at the others;
    without biases, these are zero. Where `s` is a number, another one goes into `W_up` and `b_up`.

    Args:
        model: what `get_peft_model` or `PeftModel.from_pretrained` returned.
        model_name_or_path: folder or hub id of the saved adapter.
        adapter_name: the loaded adapter whose weights are overwritten.
        kwargs: passed on to PEFT's `load_peft_weights` (`token`, `revision`, …).

    Raises:
        ValueError: the saved adapter is of another method or computes another equation, has modules or neurons that
            the loaded one lacks, or the loaded one is merged. Nothing changes then.
    """
    model = getattr(model, "_orig_mod", model)  # inside what `torch.compile` returns
    if adapter_name not in model.peft_config:
        raise ValueError(f"Unknown adapter {adapter_name!r}; the model has {sorted(model.peft_config)}.")
    layers = _layers(model)
    if any(adapter_name in layer.merged_adapters for layer in layers.values()):
        raise ValueError(f"Adapter {adapter_name!r} is merged; call unmerge_adapter() first.")
    factor = _factor(model.peft_config[adapter_name], PeftConfig.from_pretrained(model_name_or_path))
    new = load_peft_weights(model_name_or_path, device="cpu", **kwargs)
    own = get_peft_model_state_dict(model, adapter_name=adapter_name, save_embedding_layers=False)
    own |= {name: parameter for name, parameter in _parameters(model, adapter_name) if name in own}
    surplus = sorted(new.keys() - own.keys())
    if surplus:
        raise ValueError(f"The saved adapter has {len(surplus)} weights that {adapter_name!r} lacks: {surplus[0]}, ….")
    prefix = model.base_model.prefix
    values = {name: _value(name, tensor, new.get(name), factor, prefix) for name, tensor in own.items()}
    with torch.no_grad():
        for name, value in values.items():
            own[name].copy_(value)


def _parameters(model: nn.Module, adapter_name: str) -> Iterator[tuple[str, nn.Parameter]]:
    """An adapter's parameters, and others, by the names under which PEFT saves an adapter."""
    for name, parameter in model.named_parameters():
        yield re.sub(rf"(\.modules_to_save)?\.{re.escape(adapter_name)}(?=\.|$)", "", name), parameter


def _factor(loaded: BottleneckConfig, saved: PeftConfig) -> float:
    """The factor of the saved `W_up` and `b_up`; checks that the equations agree."""
    if type(saved) is not type(loaded):
        raise ValueError(f"The saved adapter is a {type(saved).__name__}, the loaded one a {type(loaded).__name__}.")
    trained = isinstance(loaded.scaling, str) or isinstance(saved.scaling, str)
    for name in (*_EQUATION, "scaling") if trained else _EQUATION:
        value, other = getattr(loaded, name, None), getattr(saved, name, None)
        if other != value:
            raise ValueError(f"The adapters differ in {name}: the saved one has {other!r}, the loaded one {value!r}.")
    if trained:
        return 1.0
    if not loaded.scaling:
        raise ValueError("The loaded adapter has scaling=0, with which no weights have an effect.")
    return float(saved.scaling) / float(loaded.scaling)


def _value(name: str, own: Tensor, new: Tensor | None, factor: float, prefix: str) -> Tensor:
    """The new value of a parameter: the saved tensor, padded with zeros where it is smaller."""
    part = name.rpartition(prefix)[2].split(".")[0] if prefix in name else None
    if new is None and part is not None:
        return torch.zeros_like(own)
    if new is None:
        raise ValueError(f"The saved adapter lacks {name}, which the loaded one trains in full.")
    smaller = new.dim() == own.dim() and all(n <= o for n, o in zip(new.shape, own.shape, strict=True))
    if new.shape != own.shape and not (smaller and part is not None):
        raise ValueError(f"{name} is {list(new.shape)} in the saved adapter and {list(own.shape)} in the loaded one.")
    value = own.new_zeros(own.shape)
    value[tuple(slice(size) for size in new.shape)] = new.to(own)
    return value * factor if part == "up" else value


def _layers(model: nn.Module) -> Mapping[str, BottleneckLayer]:
    """The layers with bottlenecks by name.

    Raises:
        ValueError: there are none.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, BottleneckLayer)}
    if not layers:
        raise ValueError(f"{type(model).__name__} has no bottleneck adapters.")
    return layers
