"""The bottleneck `B(x) = s·(W_up φ(W_down x + b_down) + b_up)`: its maps, how they are drawn, how it is computed.

Shapes: `x` is `[…, d_in]`, `W_down` `[r, d_in]`, `W_up` `[d_out, r]`, `B(x)` `[…, d_out]`; no residual inside.
Order as in AdapterHub's library: down, φ, up, × s, dropout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.activations import ACT2FN

from .convolution import Convolution, TokenContext

Activation = Callable[[Tensor], Tensor]

# Names that AdapterHub's library has and transformers has not, or has under another name.
_OWN_ACTIVATIONS: Mapping[str, Callable[[], Activation]] = MappingProxyType(
    {"identity": nn.Identity, "leakyrelu": nn.LeakyReLU, "swish": nn.SiLU}
)
ACTIVATIONS: tuple[str, ...] = tuple(sorted({*_OWN_ACTIVATIONS, *ACT2FN.keys()}))


def activation(name: str) -> Activation:
    """The activation function of this name, one of `ACTIVATIONS`."""
    own = _OWN_ACTIVATIONS.get(name)
    return own() if own is not None else ACT2FN[name]


def _draw_kaiming(weight: Tensor) -> None:
    nn.init.kaiming_uniform_(weight, a=math.sqrt(5))


def _draw_bert(weight: Tensor) -> None:
    nn.init.normal_(weight, std=0.02)


def _draw_houlsby(weight: Tensor) -> None:
    nn.init.trunc_normal_(weight, std=0.01, a=-0.02, b=0.02)


_DRAW: Mapping[str, Callable[[Tensor], None]] = MappingProxyType(
    {"kaiming": _draw_kaiming, "bert": _draw_bert, "houlsby": _draw_houlsby}
)
INIT_METHODS: tuple[str, ...] = tuple(_DRAW)

# What lies between the two maps, and the maps that each form has: all are `nn.Linear`, `up` from r, the others to r.
FORMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"plain": ("down", "up"), "gated": ("down", "gate", "up"), "conv": ("down", "up")}
)


def build_maps(form: str, in_features: int, size: int, out_features: int, *, bias: bool) -> dict[str, nn.Linear]:
    """The linear maps of a bottleneck of this form, not yet drawn."""
    return {
        name: nn.Linear(*((size, out_features) if name == "up" else (in_features, size)), bias=bias)
        for name in FORMS[form]
    }


@torch.no_grad()
def draw_maps(maps: Mapping[str, nn.Linear], *, method: str, no_op: bool) -> None:
    """Draws every weight by `method`; `no_op` makes `W_up` zero instead. Biases are zero."""
    for name, linear in maps.items():
        if name == "up" and no_op:
            nn.init.zeros_(linear.weight)
        else:
            _DRAW[method](linear.weight)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)


@dataclass
class Bottleneck:
    """One adapter's bottleneck at one place.

    Attributes:
        maps: its linear maps by name, as the tuner layer registers them.
        phi: the activation function.
        scale: the number `s`, or where its trained parameter is kept.
        dropout: probability of zeroing an element of `B(x)` in training.
        conv: the convolution inside, and what it has to know of the batch.
        read: name of the tapped module whose input is `x`; None: the wrapped module's own.
    """

    maps: Mapping[str, nn.Linear]
    phi: Activation
    scale: float | Callable[[], Tensor]
    dropout: float = 0.0
    conv: tuple[Convolution, TokenContext] | None = None
    read: str | None = None

    def __post_init__(self) -> None:
        # Kept at hand: every look into an nn.Module costs, and a small model's step is short.
        self.down, self.up, self.gate = self.maps["down"], self.maps["up"], self.maps.get("gate")

    def add_to(self, y: Tensor, x: Tensor, *, training: bool) -> Tensor:
        """`y + B(x)`, in the type of `y`: `x` is `[…, d_in]`, `y` and the result are `[…, d_out]`."""
        weight = self.down.weight
        if x.dtype != weight.dtype:
            x = x.to(weight.dtype)
        hidden = F.linear(x, weight, self.down.bias)
        if self.conv is not None:
            kernels, context = self.conv
            hidden = kernels.over_tokens(hidden, context, key=id(self))
        if self.gate is None:
            hidden = self.phi(hidden)
        else:
            hidden = self.phi(F.linear(x, self.gate.weight, self.gate.bias)) * hidden
        delta = F.linear(hidden, self.up.weight, self.up.bias)
        if not isinstance(self.scale, float):
            delta = delta * self.scale()
        if training and self.dropout:
            delta = F.dropout(delta, self.dropout)
        if delta.dtype != y.dtype:
            delta = delta.to(y.dtype)
        return torch.add(y, delta, alpha=self.scale) if isinstance(self.scale, float) else y + delta
