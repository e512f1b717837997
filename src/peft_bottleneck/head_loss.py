"""The loss of a causal language model without its logits: head and cross-entropy for a few positions at a time.

With hidden states `h_i` and targets `t_i` at the `n` positions that have a target, and `W` the head,

    loss = 1/n · Σ_i CE(W h_i, t_i).

The logits `W h` are `[batch, tokens, vocabulary]`, and their loss is computed in float32: with adapters on a model of
a large vocabulary they take the largest part of the memory of a training step. Here positions without a target never
reach the head, and the backward pass computes the logits of a chunk again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

IGNORED = -100


def use_chunked_loss(model: PreTrainedModel, positions: int = 256) -> None:
    """Lets training steps of a causal model compute the loss in chunks; its `logits` are None then.

    This concerns calls with `labels` in training mode alone. Evaluation and generation give logits as before.

    Args:
        model: a causal language model of transformers, with or without adapters.
        positions: positions with a target per chunk.

    Raises:
        ValueError: `positions` is no number of positions, or the model's loss has another equation (it caps its
            logits, for example). Nothing changes then.
    """
    if isinstance(positions, bool) or not isinstance(positions, int) or positions < 1:
        raise ValueError(f"positions must be an integer above 0, got {positions!r}")
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = getattr(causal, "get_output_embeddings", lambda: None)()
    if head is None or not hasattr(causal, "loss_function"):
        raise ValueError(f"{type(causal).__name__} has no head and loss of a causal language model.")
    if isinstance(getattr(head, "forward", None), _Head):
        raise ValueError(f"{type(causal).__name__} computes its loss in chunks already.")
    expected = _loss_of_a_probe(causal)
    chunked = ChunkedLoss(head, causal.loss_function, positions)
    handles = chunked.install(causal)
    chunked.always = True
    try:
        loss = _loss_of_a_probe(causal)
        tolerance = 1e-5 if head.weight.dtype == torch.float32 else 2e-3
        problem = None if torch.allclose(loss, expected, rtol=tolerance) else f"{loss:.5f}, not {expected:.5f}"
    except Exception as error:  # a model may raise anything where it finds hidden states in place of logits
        problem = f"{type(error).__name__}: {error}"
    chunked.always = False
    if problem is not None:
        chunked.uninstall(causal, handles)
        raise ValueError(f"{type(causal).__name__} does more between its head and its loss ({problem}).")


class ChunkedLoss:
    """Lets the head pass hidden states on in a training step, and computes the logits in the loss."""

    def __init__(self, head: nn.Module, loss_function: Callable[..., Tensor], positions: int) -> None:
        self.head = head
        self.compute = head.forward
        self.loss_function = loss_function
        self.positions = positions
        self.always = False  # while the probe runs
        self.in_force = False

    def install(self, model: PreTrainedModel) -> list[RemovableHandle]:
        self.head.forward = _Head(self)
        model.loss_function = self.loss
        return [
            model.register_forward_pre_hook(self.enter, with_kwargs=True),
            model.register_forward_hook(self.leave, always_call=True),
        ]

    def uninstall(self, model: PreTrainedModel, handles: list[RemovableHandle]) -> None:
        vars(self.head).pop("forward")
        model.loss_function = self.loss_function
        for handle in handles:
            handle.remove()

    def enter(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        training = model.training and torch.is_grad_enabled()
        self.in_force = (training or self.always) and kwargs.get("labels") is not None

    def leave(self, model: nn.Module, args: tuple[object, ...], output: object) -> None:
        if self.in_force and hasattr(output, "logits"):
            output.logits = None  # they are hidden states
        self.in_force = False

    def loss(
        self,
        logits: Tensor,
        labels: Tensor | None,
        vocab_size: int,
        num_items_in_batch: Tensor | int | None = None,
        ignore_index: int = IGNORED,
        shift_labels: Tensor | None = None,
        **kwargs: object,
    ) -> Tensor:
        """The loss; `logits` are hidden states `[batch, tokens, d]` in a training step."""
        if not self.in_force:
            given = {"num_items_in_batch": num_items_in_batch, "ignore_index": ignore_index} | kwargs
            return self.loss_function(logits, labels, vocab_size, shift_labels=shift_labels, **given)
        if shift_labels is None:
            assert labels is not None  # by `enter`
            shift_labels = F.pad(labels, (0, 1), value=ignore_index)[..., 1:]
        hidden, targets = self.with_target(logits, shift_labels.to(logits.device), ignore_index)
        total = hidden.new_zeros((), dtype=torch.float32) + hidden.sum() * 0.0  # also where no position has a target
        for x, t in zip(torch.split(hidden, self.positions), torch.split(targets, self.positions), strict=True):
            if len(t):
                total = total + checkpoint(self._loss_of, x, t, use_reentrant=False)
        return total / (len(targets) if num_items_in_batch is None else num_items_in_batch)

    def with_target(self, hidden: Tensor, targets: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
        """The positions that have a target: `[n, d]` and `[n]`."""
        kept = targets != ignore_index
        return hidden[kept], targets[kept]

    def _loss_of(self, hidden: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(self.compute(hidden).float(), targets, reduction="sum")


class _Head:
    """The head's `forward`: in a training step, the hidden states as they are. Copies of it refer to copied heads."""

    def __init__(self, chunked: ChunkedLoss) -> None:
        self.chunked = chunked

    def __call__(self, hidden: Tensor) -> object:
        return hidden if self.chunked.in_force else self.chunked.compute(hidden)


@torch.no_grad()
def _loss_of_a_probe(model: PreTrainedModel) -> Tensor:
    """The loss of some tokens in evaluation mode, a part of them without a target."""
    was_training = model.training
    ids = torch.arange(24, device=model.get_input_embeddings().weight.device).view(2, 12)
    labels = ids.masked_fill(ids % 5 == 0, IGNORED)
    try:
        loss: Tensor = model.eval()(input_ids=ids, labels=labels, use_cache=False).loss.float()
    finally:
        model.train(was_training)
    return loss
