"""The parts of a fusion's training step: its loss, and the decrease of its temperature."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from .composition import Fusion
from .hooks import remove_hooks
from .layer import BottleneckLayer


class FusionTraining:
    """Adds the loss of the active fusions to `output.loss` of every training call of a model that computes one."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        model.register_forward_pre_hook(self.enter)
        model.register_forward_hook(self.leave)

    def enter(self, model: nn.Module, args: Any) -> None:
        """Before a call: temperatures fall by a step."""
        if model.training and torch.is_grad_enabled():
            for _, parts in _active(model):
                if "temperature" in parts:
                    parts["temperature"].step()

    def leave(self, model: nn.Module, args: Any, output: Any) -> Any:
        """After it."""
        loss = getattr(output, "loss", None)
        if model.training and isinstance(loss, Tensor):
            output.loss = loss + fusion_loss(model).to(loss.device)
        return output

    def remove(self) -> None:
        """Takes the hooks away again."""
        remove_hooks(self.model._forward_pre_hooks, self)
        remove_hooks(self.model._forward_hooks, self)


def fusion_loss(model: nn.Module) -> Tensor:
    """`λ·Σ‖V − I‖²` of the active fusions of a model, over all places, as a scalar; 0 where there are none.

    The `loss` that a model returns in training includes it. Add it where you compute the loss from the logits
    (Pfeiffer et al. 2021, https://arxiv.org/abs/2005.00247).
    """
    terms = [term for fusion, parts in _active(model) if (term := fusion.loss(parts)) is not None]
    return torch.stack([term.to(terms[0].device) for term in terms]).sum() if terms else torch.zeros(())


def _active(model: nn.Module) -> Iterator[tuple[Fusion, dict[str, Any]]]:
    """The active fusions at each place, with their modules."""
    for layer in model.modules():
        if isinstance(layer, BottleneckLayer) and not layer.disable_adapters:
            for adapter in layer.active_adapters:
                composition = layer.compositions.get(adapter)
                if isinstance(composition, Fusion):
                    yield composition, layer.composition_parts(adapter)
