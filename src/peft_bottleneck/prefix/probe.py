"""Whether a model gives the same with its frozen blocks left out: two calls on one batch, compared."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from .rows import Inputs

ROUNDINGS = 8  # of the largest number; equal in float32 on a processor


def outputs_of(result: object) -> list[Tensor]:
    """The tensors of floating-point numbers that a call returned."""
    leaves = tree_leaves(dict(result) if isinstance(result, dict) else result)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def check_equal(name: str, blocks: int, expected: list[Tensor], found: list[Tensor], inputs: Inputs) -> None:
    """Compares what two calls returned, padding left out.

    Raises:
        ValueError: the outputs differ.
    """
    problem = f"{len(expected)} tensors, and {len(found)} with reuse" if len(expected) != len(found) else ""
    for one, other in zip(expected, found, strict=False):
        real = inputs.real(one.shape)
        if real is not None:
            one, other = one[real.to(one.device)], other[real.to(other.device)]
        size = float(one.abs().max()) if one.numel() else 0.0
        difference = float((one - other).abs().max()) if one.numel() else 0.0
        if not difference <= ROUNDINGS * torch.finfo(one.dtype).eps * max(size, 1.0):
            problem = f"they differ by {difference:.3g}"
    if problem:
        raise ValueError(
            f"{name} gives other outputs when its first {blocks} blocks are left out ({problem}): its upper blocks "
            "need more of the lower ones than their hidden states. It cannot reuse a frozen prefix."
        )
