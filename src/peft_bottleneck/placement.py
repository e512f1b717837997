"""How a bottleneck is composed with a module of the base model.

With `f` the module, `base` below, `x` its input and `B` a bottleneck:

=============  ====================  ==========================================================================
placement      output                sites
=============  ====================  ==========================================================================
`after`        `y + B(y), y = f(x)`  Houlsby: projections of attention and FFN; Pfeiffer, pre-LN: the block
`around_norm`  `f(x + B(f(x)))`      Pfeiffer, post-LN: the FFN's LayerNorm, `x` the sum that enters it
`beside`       `f(x) + B(x)`         parallel: the FFN
=============  ====================  ==========================================================================

Several active adapters apply in their order: `after` and `around_norm` stack them (each reads what the one before
wrote), `beside` adds them up.

Two sites need `hooks` on other modules: an FFN without a module of its own, whose input is tapped at its reader, and
a block's output (`in_block`).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .layer import BottleneckLayer


def after(layer: BottleneckLayer, base: nn.Module, *args: object, **kwargs: object) -> Any:
    """`y + B(y)`, `y = f(x)`; or `y + B(x)`, `x` a tapped input."""
    return layer.adapt(base(*args, **kwargs))


def in_block(layer: BottleneckLayer, base: nn.Module, *args: object, **kwargs: object) -> Any:
    """`f(x)`: the layer only keeps the weights; the block applies them to its output."""
    return base(*args, **kwargs)


def around_norm(layer: BottleneckLayer, norm: nn.Module, x: Tensor, *args: object, **kwargs: object) -> Any:
    """`f(x + B(f(x)))`, `f` a normalisation."""

    def read(y: Tensor) -> Tensor:
        normed = norm(y, *args, **kwargs)
        first: Tensor = normed[0] if isinstance(normed, tuple) else normed  # I-BERT's gives a scale as well
        return first

    return norm(layer.adapt(x, read=read), *args, **kwargs)


def beside(layer: BottleneckLayer, base: nn.Module, x: Tensor, *args: object, **kwargs: object) -> Any:
    """`f(x) + B(x)`, `x` the module's own input or a tapped one."""
    return layer.adapt(base(x, *args, **kwargs), read=lambda y: x)
