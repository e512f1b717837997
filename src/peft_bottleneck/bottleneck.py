"""The bottleneck `B(x) = s·(W_up φ(W_down x + b_down) + b_up)`: its maps, their initialisation, its computation.

Shapes: `x` is `[…, d_in]`, `W_down` `[r, d_in]`, `W_up` `[d_out, r]`, `B(x)` `[…, d_out]`; no residual inside.
Order as in AdapterHub's library: norm, down, φ, up, stochastic depth, × s, dropout, gate, norm.
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
from .modules import bare_parameters
from .phm import Phm, PhmLinear, build_phm_maps

Activation = Callable[[Tensor], Tensor]
Parts = Mapping[str, Any]  # maps, norms and parameters of one adapter in one layer by name

# Names of AdapterHub's library that transformers lacks or spells otherwise, and the defaults of our methods as plain
# functions: for one token, calling a module costs as much as the computation.
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

# The forms of a bottleneck, and the maps of each: `up` from r, the others to r.
FORMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"plain": ("down", "up"), "gated": ("down", "gate", "up"), "conv": ("down", "up")}
)
Map = nn.Linear | PhmLinear


def build_maps(
    form: str,
    in_features: int,
    size: int,
    out_features: int,
    *,
    bias: bool,
    phm: Phm | None = None,
    first: Mapping[str, Any] | None = None,
) -> dict[str, Map]:
    """The maps of a bottleneck of this form, not yet initialised.

    Args:
        form: one of `FORMS`.
        in_features: `d_in`.
        size: `r`.
        out_features: `d_out`.
        bias: whether they have biases.
        phm: how they are parameterised; None: as ordinary ones.
        first: the maps of the adapter's first bottleneck, whose parameters `phm` may share; None: this is the first.
    """
    sizes = {name: (size, out_features) if name == "up" else (in_features, size) for name in FORMS[form]}
    if phm is not None:
        return dict(build_phm_maps(sizes, phm, bias=bias, first=first))
    return {name: nn.Linear(*features, bias=bias) for name, features in sizes.items()}


@torch.no_grad()
def reset_parameters(parts: Mapping[str, nn.Module], *, method: str, no_op: bool) -> None:
    """Initialises every map by `method`; `no_op` makes `W_up` zero instead. Biases are zero."""
    for name, part in parts.items():
        if isinstance(part, PhmLinear):
            part.reset_parameters(zero=name == "up" and no_op)
        elif isinstance(part, nn.Linear):
            if name == "up" and no_op:
                nn.init.zeros_(part.weight)
            else:
                _INIT[method](part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


@dataclass
class Bottleneck:
    """How one adapter's bottleneck computes at one place; its parts are registered in the layer.

    Attributes:
        form: one of `FORMS`.
        phi: the activation function.
        scale: the number `s`; None: a trained parameter.
        dropout: probability of zeroing an element of `B(x)` in training.
        context: the padding and the cache that a convolution reads; None: there is no convolution.
        read: name of the tapped module whose input is `x`; None: what the placement reads.
        stochastic_depth: probability of leaving `B(x)` out for an example in training.
        extra: its modules beside the maps: "conv", "norm_before", "norm_after", "gating".
        normalises_sum: whether "norm_after" normalises `y + B(x)`, not `B(x)`.
        part_names: the names of all its modules.
    """

    form: str
    phi: Activation
    scale: float | None
    dropout: float = 0.0
    context: TokenContext | None = None
    read: str | None = None
    stochastic_depth: float = 0.0
    extra: tuple[str, ...] = ()
    normalises_sum: bool = False

    def __post_init__(self) -> None:
        self.part_names = (*FORMS[self.form], *self.extra)

    def add_to(self, y: Tensor, x: Tensor, parts: Parts, scale: Tensor | float, *, training: bool) -> Tensor:
        """`y + B(x)`, or its norm, in the type of `y`: `x` is `[…, d_in]`, `y` and the result are `[…, d_out]`.

        `parts` are the modules of `part_names`, `scale` is `s`, trained or not.
        """
        down, up = parts["down"], parts["up"]
        # Calls of modules that do nothing but multiply are left out; a compiler leaves them out by itself.
        compiling = torch.compiler.is_compiling()
        own_down, own_up = (None, None) if compiling else (bare_parameters(down), bare_parameters(up))
        # `delta` is a tensor that nobody else sees, and that `vmap` has batched if it has `y`. With gradients a sum in
        # place costs copies in the backward pass: `delta` is a view of a product.
        # The sum has the strides of `y`: the next product of the base depends on them.
        in_place = (
            x is y and own_up is not None and not self.extra and not torch.is_grad_enabled() and y.is_contiguous()
        )
        # torch multiplies a strided input in an order that depends on whether the weight is trained; a saved and
        # loaded adapter gives the same bits.
        x = x.contiguous()
        dtype = _dtype(down, x) if own_down is None else own_down["weight"].dtype
        # Autocast converts the input by itself; a conversion here would only add a copy.
        if x.dtype != dtype and not torch.is_autocast_enabled(x.device.type):
            x = x.to(dtype)
        z = parts["norm_before"](x) if "norm_before" in parts else x
        hidden = down(z) if own_down is None else F.linear(z, own_down["weight"], own_down["bias"])
        if self.context is not None:
            hidden = parts["conv"](hidden, self.context, key=id(self))
        hidden = self.phi(parts["gate"](z)) * hidden if self.form == "gated" else self.phi(hidden)
        delta = up(hidden) if own_up is None else F.linear(hidden, own_up["weight"], own_up["bias"])
        if self.stochastic_depth and training:
            delta = delta * _kept_examples(delta, 1 - self.stochastic_depth)
        if isinstance(scale, Tensor) or "norm_after" in parts:
            delta, scale = delta * scale, 1.0
        if self.dropout and training:
            delta = F.dropout(delta, self.dropout)
        if "gating" in parts:
            delta = delta * _mean_over_tokens(torch.sigmoid(parts["gating"](x)))
        if self.normalises_sum:
            total: Tensor = parts["norm_after"](y.to(delta.dtype) + delta)
            return total.to(y.dtype)
        if "norm_after" in parts:
            delta = parts["norm_after"](delta)
        delta = delta if delta.dtype == y.dtype else delta.to(y.dtype)
        if scale != 1.0:
            return torch.add(y, delta, alpha=scale)
        return delta.add_(y) if in_place and type(delta) is type(y) is Tensor else y + delta


def _dtype(down: Any, x: Tensor) -> torch.dtype:
    """The type in which the maps compute: torch.ao's integer maps, whose weight is a method, take any."""
    weight = down if isinstance(down, PhmLinear) else down.weight
    dtype: torch.dtype = getattr(weight, "dtype", x.dtype)
    return dtype


def _kept_examples(delta: Tensor, probability: float) -> Tensor:
    """0 for examples that are left out, 1/probability for the others: `[batch, 1, …]`."""
    shape = (len(delta), *(1 for _ in _token_dimensions(delta)), 1)
    return delta.new_empty(shape).bernoulli_(probability) / probability


def _mean_over_tokens(gates: Tensor) -> Tensor:
    """`[batch, tokens, 1]` to `[batch, 1, 1]`."""
    return gates.mean(dim=_token_dimensions(gates), keepdim=True)


def _token_dimensions(tensor: Tensor) -> tuple[int, ...]:
    """The dimensions between the first, the batch, and the last, the channels."""
    if tensor.dim() < 3:
        raise ValueError(
            "use_gating and stochastic_depth need [batch, tokens, channels] to tell the examples apart; this model "
            f"computes on {list(tensor.shape)} here, the tokens of all examples in a row."
        )
    return tuple(range(1, tensor.dim() - 1))
