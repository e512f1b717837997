"""Makes one adapter of several on a model: a fusion, an average; and runs a batch through several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor

from .composition import Average, Composition, Fusion
from .config import BottleneckConfig
from .registration import ModulesToSaveWrapper

_ALIKE = ("peft_type", "target_modules", "input_modules", "output_modules")  # fields that decide on the places

# Features of an adapter that a composition does not cover: copies of norms, changes to embeddings, and others.
_ALONE = ("train_layernorm", "invertible", "composition", "adapter_residual_before_ln")


def fuse(
    model: PeftModel,
    adapters: Sequence[str],
    name: str,
    *,
    modules_to_save: Sequence[str] | None = None,
    **options: Any,
) -> None:
    """Adds a fusion of several adapters to a model as an adapter of its own, and activates it for training.

    `y + Σ pᵢ V Bᵢ(x)` with `p = softmax(q·kᵢ / T)`, `q = W_q x`, `kᵢ = W_k Bᵢ(x)` (Pfeiffer et al. 2021,
    https://arxiv.org/abs/2005.00247); `x`, `y` and `Bᵢ(x)` have the shape `(…, d)`, the maps are `d × d`. The other
    adapters are frozen and saved apart: load them before the fusion. A task head of the fusion starts from the base
    model's.

    Args:
        model: a model with the adapters, all of one method.
        adapters: their names.
        name: the fusion's own name.
        modules_to_save: its task head; None: the modules that the adapters have for theirs.
        **options: fields of `Fusion`.

    Raises:
        ValueError: an adapter is unknown or is itself made of others, they sit in other places, or an option has a
            value that it cannot have.
    """
    _add(model, Fusion(list(adapters), **options), name, modules_to_save)
    model.set_requires_grad(list(adapters), False)
    model.set_adapter(name)


def average(model: PeftModel, adapters: Sequence[str], name: str, weights: Sequence[float] | None = None) -> None:
    """Adds the average of the outputs of several adapters to a model as an adapter of its own, and activates it.

    `y + Σ wᵢ Bᵢ(x)`. Its only weights are its task heads (`modules_to_save`), the averages of the others' heads.
    `add_weighted_adapter`, in contrast, averages all parameters.

    Args:
        model: a model with the adapters, all of one method.
        adapters: their names.
        name: the average's own name.
        weights: a number for each, used as they are; None: `1/n`.

    Raises:
        ValueError: as `fuse` does; the numbers of adapters and weights differ.
    """
    numbers = [1 / len(adapters)] * len(adapters) if weights is None else list(weights)
    _add(model, Average(list(adapters), numbers), name)
    total = dict(zip(adapters, numbers, strict=True))
    with torch.no_grad():
        for wrapper in model.modules():
            if isinstance(wrapper, ModulesToSaveWrapper) and name in wrapper.modules_to_save:
                _average_copies(wrapper.modules_to_save, name, total)
    model.set_adapter(name, inference_mode=True)


def in_parallel(batch: Mapping[str, object], adapters: Sequence[str]) -> dict[str, object]:
    """The batch once for each adapter, one after the other, with `adapter_names` to call a model with.

    `model(**in_parallel(batch, adapters)).logits.chunk(len(adapters))` are the answers of each.

    Args:
        batch: inputs of the model; every tensor has the shape `(batch, …)`.
        adapters: names of adapters of the model.

    Returns:
        The batch with tensors of the shape `(len(adapters)·batch, …)`, and `adapter_names`, one for each row.
    """
    tensors = {name: value for name, value in batch.items() if isinstance(value, Tensor)}
    rows = len(next(iter(tensors.values())))
    repeated = {name: torch.cat([value] * len(adapters)) for name, value in tensors.items()}
    return {**batch, **repeated, "adapter_names": [adapter for adapter in adapters for _ in range(rows)]}


def _add(model: PeftModel, composition: Composition, name: str, modules_to_save: Sequence[str] | None = None) -> None:
    if not isinstance(model, PeftModel):
        raise TypeError(f"Only the adapters of a PeftModel compose, not of a {type(model).__name__}.")
    problems = list(composition.problems())
    unknown = [adapter for adapter in composition.adapters if adapter not in model.peft_config]
    if unknown:
        problems.append(f"unknown adapters {unknown}; the model has {sorted(model.peft_config)}")
    if problems:
        raise ValueError(f"{type(composition).__name__}: {'; '.join(problems)}.")
    configs = [model.peft_config[adapter] for adapter in composition.adapters]
    for adapter, config in zip(composition.adapters, configs, strict=True):
        if not isinstance(config, BottleneckConfig):
            raise ValueError(f"Adapter {adapter!r} is of type {config.peft_type.value}; only bottlenecks compose.")
        for field in _ALONE:
            if getattr(config, field, None):
                value = getattr(config, field)
                raise ValueError(f"Adapter {adapter!r} has {field}={value!r}, which a composition does not cover.")
    for field in _ALIKE:
        values = [getattr(config, field, None) for config in configs]
        if any(value != values[0] for value in values):
            raise ValueError(f"The adapters {composition.adapters} differ in {field}: {values}.")
    heads = sorted({head for config in configs for head in config.modules_to_save or ()})
    if modules_to_save is not None:
        heads = list(modules_to_save)
    config = replace(
        configs[0],
        composition=composition,
        exclude_modules=None,  # it is wherever one of them is
        layers_to_transform=None,
        layers_pattern=None,
        modules_to_save=heads or None,
        inference_mode=False,
    )
    model.add_adapter(name, config)


def _average_copies(copies: Any, name: str, weights: Mapping[str, float]) -> None:
    """Sets one copy of a module to the average of the others' copies."""
    present = {adapter: weight for adapter, weight in weights.items() if adapter in copies}
    total = sum(present.values())
    for key, parameter in copies[name].named_parameters():
        if present and total:
            terms = [weight / total * copies[adapter].get_parameter(key) for adapter, weight in present.items()]
            parameter.copy_(torch.stack(terms).sum(dim=0))
