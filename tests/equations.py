"""Helpers that say what a model computes, for tests that compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig
from peft_bottleneck.config import BottleneckConfig
from peft_bottleneck.layer import BottleneckLayer

METHODS: dict[str, Callable[..., BottleneckConfig]] = {
    "houlsby": HoulsbyConfig,
    "pfeiffer": PfeifferConfig,
    "parallel_adapter": ParallelAdapterConfig,
}


@torch.no_grad()
def output(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """The first tensor that a model returns; for CLIP, which has two towers, the similarity of both."""
    result = model(**inputs)
    return result.logits_per_image if hasattr(result, "logits_per_image") else result[0]


def loss(result: Tensor) -> Tensor:
    """A number that every entry moves its own way; behind a LayerNorm the mean of squares hardly moves at all."""
    return (result.float() * torch.arange(result.numel(), device=result.device).view_as(result).sin()).mean()


def on_gpu(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.cuda() for name, tensor in inputs.items()}


def layers(model: nn.Module) -> list[BottleneckLayer]:
    return [module for module in model.modules() if isinstance(module, BottleneckLayer)]


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Draws every trainable parameter anew, so that each has an effect."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model


def without_dropout(model: nn.Module) -> nn.Module:
    """Sets every dropout probability to 0, so that a model in training mode computes what it does in eval mode."""
    for module in model.modules():
        for name, value in vars(module).items():
            if "drop" in name and isinstance(value, float):
                setattr(module, name, 0.0)
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model
