"""The bottleneck `B(x) = s·(W_up φ(W_down x + b_down) + b_up)`: its maps, their initialisation, its computation.

Shapes: `x` is `[…, d_in]`, `W_down` `[r, d_in]`, `W_up` `[d_out, r]`, `B(x)` `[…, d_out]`; no residual inside.
Order as in AdapterHub's library: down, φ, up, × s, dropout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.activations import ACT2FN

from .convolution import TokenContext

Activation = Callable[[Tensor], Tensor]

# Names that AdapterHub's library has and transformers has not, or has under another name; and the defaults of our
# methods as plain functions, since a module's call costs as much as computing it for one token.
_OWN_ACTIVATIONS: Mapping[str, Callable[[], Activation]] = MappingProxyType(
    {
        "identity": nn.Identity,
        "leakyrelu": nn.LeakyReLU,
        "relu": lambda: torch.relu,
        "silu": lambda: F.silu,
        "swish": lambda: F.silu,
    }
)
ACTIVATIONS: tuple[str, ...] = tuple(sorted({*_OWN_ACTIVATIONS, *ACT2FN.keys()}))


def activation(name: str) -> Activation:
    """The activation function of this name, one of `ACTIVATIONS`."""
    own = _OWN_ACTIVATIONS.get(name)
    return own() if own is not None else ACT2FN[name]


def _kaiming(weight: Tensor) -> None:
    nn.init.kaiming_uniform_(weight, a=math.sqrt(5))


def _bert(weight: Tensor) -> None:
    nn.init.normal_(weight, std=0.02)


def _houlsby(weight: Tensor) -> None:
    nn.init.trunc_normal_(weight, std=0.01, a=-0.02, b=0.02)


_INIT: Mapping[str, Callable[[Tensor], None]] = MappingProxyType(
    {"kaiming": _kaiming, "bert": _bert, "houlsby": _houlsby}
)
INIT_METHODS: tuple[str, ...] = tuple(_INIT)

# The forms of a bottleneck, and the maps of each: all are `nn.Linear`, `up` from r, the others to r.
FORMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"plain": ("down", "up"), "gated": ("down", "gate", "up"), "conv": ("down", "up")}
)


def build_maps(form: str, in_features: int, size: int, out_features: int, *, bias: bool) -> dict[str, nn.Linear]:
    """The linear maps of a bottleneck of this form, not yet initialised."""
    return {
        name: nn.Linear(*((size, out_features) if name == "up" else (in_features, size)), bias=bias)
        for name in FORMS[form]
    }


@torch.no_grad()
def reset_parameters(maps: Mapping[str, nn.Linear], *, method: str, no_op: bool) -> None:
    """Initialises every weight by `method`; `no_op` makes `W_up` zero instead. Biases are zero."""
    for name, linear in maps.items():
        if name == "up" and no_op:
            nn.init.zeros_(linear.weight)
        else:
            _INIT[method](linear.weight)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)


@dataclass
class Bottleneck:
    """How one adapter's bottleneck computes at one place; its parts are registered in the layer.

    Attributes:
        form: one of `FORMS`.
        phi: the activation function.
        scale: the number `s`; None: a trained parameter.
        dropout: probability of zeroing an element of `B(x)` in training.
        context: what the convolution inside has to know of the batch; None: there is no convolution.
        read: name of the tapped module whose input is `x`; None: what the placement reads.
        part_names: the names of the modules that it computes with.
    """

    form: str
    phi: Activation
    scale: float | None
    dropout: float = 0.0
    context: TokenContext | None = None
    read: str | None = None

    def __post_init__(self) -> None:
        self.part_names = FORMS[self.form] if self.context is None else (*FORMS[self.form], "conv")

    def add_to(
        self, y: Tensor, x: Tensor, parts: Mapping[str, Any], scale: Tensor | float, *, training: bool
    ) -> Tensor:
        """`y + B(x)`, in the type of `y`: `x` is `[…, d_in]`, `y` and the result are `[…, d_out]`.

        `parts` are the modules of `part_names`, `scale` is `s`, trained or not.
        """
        # torch multiplies a strided input in an order that depends on whether the weight is trained; a saved and
        # loaded adapter gives the same bits.
        x = x.contiguous()
        weight = parts["down"].weight
        dtype = weight.dtype if isinstance(weight, Tensor) else x.dtype  # torch.ao's integer maps take any
        # Autocast converts to its own type what its operations read; here it would be a copy on the way there.
        if x.dtype != dtype and not torch.is_autocast_enabled(x.device.type):
            x = x.to(dtype)
        hidden = parts["down"](x)
        if self.context is not None:
            hidden = parts["conv"](hidden, self.context, key=id(self))
        hidden = self.phi(parts["gate"](x)) * hidden if self.form == "gated" else self.phi(hidden)
        delta = parts["up"](hidden)
        if isinstance(scale, Tensor):
            delta, scale = delta * scale, 1.0
        if self.dropout and training:
            delta = F.dropout(delta, self.dropout)
        delta = delta if delta.dtype == y.dtype else delta.to(y.dtype)
        return y + delta if scale == 1.0 else torch.add(y, delta, alpha=scale)
