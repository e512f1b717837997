"""A bottleneck whose activation is the identity is a linear map, and merges into the projection before it.

With `y = W x + b` and `B(y) = s·(W_up (W_down y + b_down) + b_up)`,

    y + B(y) = W' x + b',
    W' = W + s·W_up W_down W, b' = b + s·(W_up (W_down b + b_down) + b_up).

Any other activation, and any other place than a linear map's output, leaves nothing to merge into.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from .bottleneck import Map
from .layer import BottleneckLayer
from .modules import is_full_precision, is_linear
from .placement import after
from .registration import check_adapters_to_merge


class MergeableLayer(BottleneckLayer):
    """Merges the bottlenecks that are linear maps into the wrapped module, if that is one too."""

    original: tuple[Tensor, Tensor | None] | None = None  # weight and bias before the first merge

    def merge_problem(self, adapter: str) -> str | None:
        """Why this adapter cannot be merged, with what to set instead; None if it can."""
        bottleneck, base = self.bottlenecks[adapter], self.base_layer
        if bottleneck.form != "plain" or not isinstance(bottleneck.phi, nn.Identity):
            return (
                "no weights of the base model compute what its bottlenecks do. unload() removes them; "
                "non_linearity='identity' (with bottleneck='plain') and ParallelAdapterConfig(foldable=True) make "
                "adapters that can be merged"
            )
        if bottleneck.extra:
            return f"no weights of the base model compute their {', '.join(bottleneck.extra)}; leave them out"
        if self.placement is not after or bottleneck.read is not None or not is_linear(base):
            return "they do not read the output of a linear layer of the base model"
        if not is_full_precision(base.weight):
            return "the base model is quantised; load it in full precision"
        biased = any(linear.bias is not None and bool(linear.bias.any()) for linear in self.maps(adapter).values())
        if biased and getattr(base, "bias", None) is None:
            return "the base layer has no place for their biases; set use_bias=False"
        return None

    @torch.no_grad()
    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Merges the bottlenecks of these adapters (None: the active ones), in their order, into the base layer.

        Raises:
            NotImplementedError: a bottleneck is no linear map, or the base layer takes none; nothing changes then.
            ValueError: `safe_merge`, and the merged weights are not finite; the adapter is not merged then.
        """
        names = [name for name in check_adapters_to_merge(self, adapter_names) if name in self.bottlenecks]
        for name in names:
            problem = self.merge_problem(name)
            if problem is not None:
                raise NotImplementedError(f"{type(self).__name__}: adapter {name!r} cannot be merged: {problem}.")
        base: nn.Linear | Conv1D = self.base_layer
        for name in names:
            scale = self.scale(name)
            weight, bias = _merged(base, self.maps(name), torch.as_tensor(scale, device=base.weight.device))
            finite = bool(weight.isfinite().all()) and (bias is None or bool(bias.isfinite().all()))
            if safe_merge and not finite:
                raise ValueError(f"NaNs detected in the merged weights. The adapter {name} seems to be broken")
            if self.original is None:
                self.original = base.weight.data, None if bias is None else base.bias.data
            base.weight.data = weight
            if bias is not None:
                base.bias.data = bias
            self.merged_adapters.append(name)

    def unmerge(self) -> None:
        """Gives the base layer its weights from before the merge, bit for bit."""
        base: nn.Linear | Conv1D = self.base_layer
        if self.original is not None:
            weight, bias = self.original
            base.weight.data = weight
            if bias is not None:
                base.bias.data = bias
        self.original = None
        self.merged_adapters = []


def _merged(base: nn.Linear | Conv1D, maps: Mapping[str, Map], scale: Tensor) -> tuple[Tensor, Tensor | None]:
    """`W'` and `b'` in the layout and type of the base layer; computed in float32 at least."""
    transposed = isinstance(base, Conv1D)  # its weight is `[in, out]`
    dtype = torch.promote_types(base.weight.dtype, torch.float32)
    weight, (down, up) = (
        base.weight.to(dtype),
        (maps[name].weight.to(base.weight.device, dtype) for name in ("down", "up")),
    )
    weight, up = weight.T if transposed else weight, up * scale.to(dtype).reshape(-1, 1)
    merged = weight + up @ (down @ weight)
    merged = (merged.T if transposed else merged).to(base.weight.dtype).contiguous()
    if base.bias is None:
        return merged, None
    bias = base.bias.to(dtype)
    inner = down @ bias
    down_bias, up_bias = maps["down"].bias, maps["up"].bias
    if down_bias is not None and up_bias is not None:
        inner = inner + down_bias.to(bias)
        bias = bias + up_bias.to(bias) * scale.to(dtype)
    return merged, (bias + up @ inner).to(base.bias.dtype)
