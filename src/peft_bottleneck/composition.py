"""Adapters made of the outputs of others, which stay as they are: AdapterFusion, and the weighted average.

`B_1 … B_n` are the bottlenecks of the others at one place, `x` is their input, and their outputs are added to `y`:

========  =============================================================================================
average   `y + Σ wᵢ Bᵢ(x)`
fusion    `y + Σ pᵢ V Bᵢ(x)`, `p = softmax(q·kᵢ / T)`, `q = W_q x + b_q`, `kᵢ = W_k Bᵢ(x) + b_k`
========  =============================================================================================

An average has no parameters of its own. Pfeiffer et al. 2021, "AdapterFusion"; `Fuse` and `Average` of AdapterHub's
library. The dropout and the gradients of the others are off.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .bottleneck import Parts

FUSION_PARTS = ("query", "key", "value", "temperature")
_HOTTEST, _COOLING = 50.0, 0.05  # T at the start, and its decrease per training step, down to 1
_NEARLY_ZERO = 1e-6  # the entries of V beside its diagonal of ones


@dataclass
class Average:
    """`y + Σ wᵢ Bᵢ(x)`.

    Args:
        adapters: the names of the others.
        weights: `w`, one number for each.
    """

    adapters: list[str]
    weights: list[float]

    def problems(self) -> Iterator[str]:
        """What is wrong with the values."""
        yield from _adapter_problems(self.adapters)
        numbers = all(isinstance(w, (int, float)) and not isinstance(w, bool) for w in self.weights)
        if len(self.weights) != len(self.adapters) or not numbers:
            yield f"weights must be {len(self.adapters)} numbers, one for each adapter, got {self.weights!r}"

    def build(self, reads: int, writes: int) -> dict[str, nn.Module]:
        """It has no modules of its own."""
        return {}

    def add_to(
        self, y: Tensor, x: Tensor, outputs: Mapping[str, Tensor], parts: Mapping[str, object], *, training: bool
    ) -> Tensor:
        """`y` and the weighted `outputs`, `Bᵢ(x)` by the adapter's name."""
        for adapter, weight in zip(self.adapters, self.weights, strict=True):
            if adapter in outputs:
                y = torch.add(y, outputs[adapter], alpha=weight)
        return y


@dataclass
class Fusion:
    """`y + Σ pᵢ V Bᵢ(x)`, `p` an attention of `x` to the outputs.

    Args:
        adapters: the names of the others.
        query: whether there is `W_q`; False: `q` is `x`.
        key: whether there is `W_k`; False: `kᵢ` is `Bᵢ(x)`.
        value: whether there is `V`; False: it is the identity.
        dropout: probability of zeroing a score `q·kᵢ` in training.
        temperature: whether `T` falls from 50 to 1 in the first thousand training steps; False: it is 1.
        init_value: whether `V` starts as the identity, with 1e-6 beside the diagonal; False: N(0, 0.02²), as the rest.
        regularization: `λ` of the loss `λ·Σ‖V − I‖²` over all places, which a training step adds to the model's.
    """

    adapters: list[str]
    query: bool = True
    key: bool = True
    value: bool = True
    dropout: float = 0.0
    temperature: bool = False
    init_value: bool = True
    regularization: float = 0.01

    def problems(self) -> Iterator[str]:
        """What is wrong with the values."""
        yield from _adapter_problems(self.adapters)
        for name in ("query", "key", "value", "temperature", "init_value"):
            if not isinstance(getattr(self, name), bool):
                yield f"{name} must be True or False, got {getattr(self, name)!r}"
        for name, end in (("dropout", 1.0), ("regularization", float("inf"))):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < end:
                yield f"{name} must be a number in [0, {end:g}), got {value!r}"

    def build(self, reads: int, writes: int) -> dict[str, nn.Module]:
        """Its modules at a place whose bottlenecks map `reads` channels to `writes`.

        Raises:
            ValueError: `query=False` where both differ.
        """
        if not self.query and reads != writes:
            raise ValueError(
                f"query=False needs bottlenecks that read as many channels as they write ({writes}): {reads}"
            )
        parts: dict[str, Any] = {}
        if self.query:
            parts["query"] = _drawn(nn.Linear(reads, writes))
        if self.key:
            parts["key"] = _drawn(nn.Linear(writes, writes))
        if self.value:
            parts["value"] = _drawn(nn.Linear(writes, writes, bias=False))
            if self.init_value and parts["value"].weight.device.type != "meta":
                nn.init.eye_(parts["value"].weight)
                with torch.no_grad():
                    parts["value"].weight.clamp_(min=_NEARLY_ZERO)
        if self.temperature:
            parts["temperature"] = Temperature()
        return parts

    def add_to(self, y: Tensor, x: Tensor, outputs: Mapping[str, Tensor], parts: Parts, *, training: bool) -> Tensor:
        """`y` and the fused `outputs`, `Bᵢ(x)` by the adapter's name."""
        values = torch.stack(tuple(outputs.values()), dim=-2)
        weight = next((part.weight for name, part in parts.items() if name != "temperature"), values)
        if values.dtype != weight.dtype and not torch.is_autocast_enabled(values.device.type):
            values, x = values.to(weight.dtype), x.to(weight.dtype)
        query = parts["query"](x) if self.query else x
        keys = parts["key"](values) if self.key else values
        scores = (query.unsqueeze(-2) @ keys.mT).squeeze(-2)
        scores = F.dropout(scores, self.dropout, training=training)
        probabilities = (parts["temperature"](scores) if self.temperature else scores).softmax(dim=-1)
        # In this order, not `V Σ pᵢ Bᵢ(x)`, rounding is the library's.
        values = parts["value"](values) if self.value else values
        fused = (probabilities.unsqueeze(-2).to(values.dtype) @ values).squeeze(-2)
        return y + fused.to(y.dtype)

    def loss(self, parts: Parts) -> Tensor | None:
        """`λ·‖V − I‖²` at one place; None where it is not asked for."""
        if not (self.value and self.regularization):
            return None
        weight: Tensor = parts["value"].weight
        return self.regularization * (weight - torch.eye(len(weight), device=weight.device)).square().sum()


Composition = Average | Fusion


class Temperature(nn.Module):
    """Divides scores by `T = max(50 − 0.05·t, 1)`, `t` the training steps before this one."""

    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def step(self) -> None:
        """Counts a training step that begins."""
        self.steps += 1

    def forward(self, scores: Tensor) -> Tensor:
        before = (self.steps - 1).clamp(min=0)
        return scores / (_HOTTEST - _COOLING * before).clamp(min=1.0).to(scores.dtype)


def composition_of(value: object) -> Composition | None:
    """The composition that a configuration holds, as an object or as JSON has it.

    Raises:
        ValueError: it has an unknown field, or lacks one.
    """
    if value is None or isinstance(value, (Average, Fusion)):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"composition must be Average(…), Fusion(…) or None, got {value!r}")
    kind = Average if "weights" in value else Fusion
    try:
        return kind(**value)
    except TypeError as error:
        raise ValueError(f"composition={dict(value)!r} is no {kind.__name__}: {error}") from error


def require(composition: object, adapters: Container[str]) -> None:
    """Checks that the adapters of a composition are in the model.

    Raises:
        ValueError: some are not.
    """
    if isinstance(composition, (Average, Fusion)):
        missing = [name for name in composition.adapters if name not in adapters]
        if missing:
            raise ValueError(
                f"This {type(composition).__name__.lower()} is made of the adapters {composition.adapters}, and the "
                f"model lacks {missing}: load these before it."
            )


def free(configs: Mapping[str, Any], adapter: str) -> None:
    """Checks that no adapter is made of this one.

    Raises:
        ValueError: one is.
    """
    for name, config in configs.items():
        if config.composition is not None and adapter in config.composition.adapters:
            raise ValueError(f"Adapter {name!r} is made of {adapter!r}; delete {name!r} first.")


def _adapter_problems(adapters: object) -> Iterator[str]:
    if not isinstance(adapters, list) or len(adapters) < 2 or len(set(adapters)) != len(adapters):
        yield f"adapters must be a list of two or more different names, got {adapters!r}"


def _drawn(linear: nn.Linear) -> nn.Linear:
    nn.init.normal_(linear.weight, std=0.02)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    return linear
