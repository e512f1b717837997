"""An adapter whose parameters are the weighted sum of those of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from .registration import BaseTuner, ModulesToSaveWrapper
from .tuner_layer import TunerLayer

# Fields that must agree for a sum of adapters' parameters.
_SUMMABLE = (
    "non_linearity",
    "scaling",
    "bottleneck",
    "use_bias",
    "use_gating",
    "ln_before",
    "ln_after",
    "adapter_residual_before_ln",
    "phm",
    "invertible",
    "invertible_modules",
    "input_modules",
    "output_modules",
)


def add_weighted_sum(tuner: BaseTuner, adapters: Sequence[str], weights: Sequence[float], adapter_name: str) -> None:
    """Adds it to a tuner model; see `BottleneckModel.add_weighted_adapter`."""
    unknown = sorted(set(adapters) - tuner.peft_config.keys())
    if unknown or not adapters:
        raise ValueError(f"Unknown adapters {unknown} in {list(adapters)}; the model has {sorted(tuner.peft_config)}.")
    if len(adapters) != len(weights):
        raise ValueError(f"{len(adapters)} adapters need as many weights, got {len(weights)}.")
    if adapter_name in tuner.peft_config:
        raise ValueError(f"There is an adapter {adapter_name!r} already.")
    configs = [tuner.peft_config[name] for name in adapters]
    composed = [name for name in adapters if tuner.peft_config[name].composition is not None]
    if composed:
        raise ValueError(f"The adapters {composed} are made of others, and have no bottlenecks to add up.")
    for name in _SUMMABLE:
        values = [getattr(config, name, None) for config in configs]
        if any(value != values[0] for value in values):
            raise ValueError(f"The adapters {list(adapters)} differ in {name}: {values}.")
    layers = [module for module in tuner.model.modules() if isinstance(module, TunerLayer)]
    for layer in layers:
        present = [name for name in adapters if layer.holds(name)]
        shapes = [_shapes(layer, name) for name in present]
        if present and (len(present) < len(adapters) or any(shape != shapes[0] for shape in shapes)):
            raise ValueError(f"The adapters {list(adapters)} differ in their modules or sizes.")
    wrappers = [module for module in tuner.model.modules() if isinstance(module, ModulesToSaveWrapper)]
    owners = {wrapper: [name for name in adapters if name in wrapper.modules_to_save] for wrapper in wrappers}
    shared = sum(len(names) > 1 for names in owners.values())
    if shared:
        raise ValueError(
            "Cannot add weighted adapters if they target the same module with modules_to_save, but found "
            f"{shared} such instance(s)."
        )
    to_save = sorted({name for config in configs for name in config.modules_to_save or ()})
    tuner.peft_config[adapter_name] = replace(configs[0], inference_mode=False, modules_to_save=to_save or None)
    tuner.inject_adapter(tuner.model, adapter_name)
    with torch.no_grad():
        for wrapper, names in owners.items():
            for name in names:  # PEFT has put the base model's module there, untrained
                wrapper.modules_to_save[adapter_name].load_state_dict(wrapper.modules_to_save[name].state_dict())
        for layer in layers:
            layer.combine(adapter_name, dict(zip(adapters, weights, strict=True)))


def _shapes(layer: TunerLayer, adapter: str) -> dict[str, Any]:
    return {
        f"{name}.{key}": parameter.shape
        for name, part in layer.parts(adapter).items()
        for key, parameter in part.named_parameters()
    }
