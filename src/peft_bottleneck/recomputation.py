"""Gradient checkpointing of blocks whose output is adapted.

Under gradient checkpointing a block keeps its input alone, and computes the rest again in the backward pass. In newer
transformers, 5.24 among them, that is the block's `forward` without its hooks, so that what a hook adds to the block's
output would keep its own activations: one of `d` channels and two of `r` for every token and block. So the adapter
joins what the block's checkpointing function recomputes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

FUNCTION = "_gradient_checkpointing_func"  # where `gradient_checkpointing_enable` puts it
HOOKS_ARE_RECOMPUTED = "__call__" in vars(GradientCheckpointingLayer)  # and not `forward` alone


class Recomputed:
    """A block's checkpointing function, with a further step at the end of what it recomputes."""

    def __init__(self, function: Callable[..., Any], step: Callable[[Any], Any]) -> None:
        self.function = function
        self.step = step

    def __call__(self, run: Callable[..., Any], *args: Any) -> Any:
        return self.function(lambda *inputs: self.step(run(*inputs)), *args)


def recompute_with(block: nn.Module, step: Callable[[Any], Any]) -> None:
    """Sees to it, before a block is called, that it recomputes this step with the rest, if it recomputes at all."""
    if HOOKS_ARE_RECOMPUTED or not _recomputes(block):
        return
    function = getattr(block, FUNCTION)
    if not isinstance(function, Recomputed):
        setattr(block, FUNCTION, Recomputed(function, step))
    elif function.step != step:  # a replica of `nn.DataParallel` comes with that of the original
        setattr(block, FUNCTION, Recomputed(function.function, step))


def has_recomputed(block: nn.Module) -> bool:
    """Whether the call that a block returns from has included the step."""
    return not HOOKS_ARE_RECOMPUTED and _recomputes(block)


def forget(block: nn.Module) -> None:
    """Takes the step away again."""
    function = getattr(block, FUNCTION, None)
    if isinstance(function, Recomputed):
        setattr(block, FUNCTION, function.function)


def _recomputes(block: nn.Module) -> bool:
    """What transformers asks before it checkpoints."""
    return (
        isinstance(block, GradientCheckpointingLayer)
        and block.gradient_checkpointing
        and block.training
        and torch.is_grad_enabled()
    )
