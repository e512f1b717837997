"""The trained parameters of a model, out and in by their names."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn


def trained_parameters(model: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of the trainable parameters, by name, on the CPU."""
    return {
        name: parameter.detach().to("cpu", copy=True).contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def restore(model: nn.Module, file: Path) -> None:
    """Copies the tensors of a safetensors file into the parameters of `model` that have their names."""
    copy_parameters(model, load_file(file))


def copy_parameters(model: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Copies `weights` into the parameters of `model` that have their names."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in weights:
                parameter.copy_(weights[name])
