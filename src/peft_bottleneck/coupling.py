"""Invertible adapters: a coupling `C` after the embeddings, and its inverse before the output embeddings.

With the halves `[x₁, x₂] = x` and two bottlenecks `F`, `G` of the plain form,

=======  ===================================================================================
coupling  `[y₁, y₂] = C(x)`
=======  ===================================================================================
`nice`   `y₁ = x₁ + F(x₂)`,  `y₂ = x₂ + G(y₁)`
`glow`   `y₁ = e(s)⊙x₁ + t` with `[s, t] = F(x₂)`,  `y₂ = e(s')⊙x₂ + t'` with `[s', t'] = G(y₁)`
=======  ===================================================================================

and `e(s) = exp(5·0.636·atan(s/5))`. Either is inverted exactly, whatever `F` and `G` are. Dinh et al. 2015 (NICE),
Kingma and Dhariwal 2018 (Glow), Pfeiffer et al. 2020 (MAD-X), whose language adapters adapt the vocabulary this way:
input and output embeddings share their weights, so the model undoes before the second what it does after the first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .bottleneck import Activation, Parts

COUPLINGS = ("nice", "glow")
PARTS = ("f_down", "f_up", "g_down", "g_up")
_CLAMP = 5.0


@dataclass(frozen=True)
class Coupling:
    """The computation of one adapter's coupling. The layer registers its parts and passes them to each call.

    Attributes:
        kind: one of `COUPLINGS`.
        phi: the activation of `F` and `G`.
    """

    kind: str
    phi: Activation

    def forward(self, x: Tensor, parts: Parts) -> Tensor:
        """`C(x)`, `[…, d]` to `[…, d]`, in the type of `x`."""
        first, second = self._halves(x, parts)
        first = self._shift(first, self._net("f", second, parts))
        second = self._shift(second, self._net("g", first, parts))
        return torch.cat((first, second), dim=-1).to(x.dtype)

    def inverse(self, y: Tensor, parts: Parts) -> Tensor:
        """`C⁻¹(y)`, likewise."""
        first, second = self._halves(y, parts)
        second = self._shift(second, self._net("g", first, parts), back=True)
        first = self._shift(first, self._net("f", second, parts), back=True)
        return torch.cat((first, second), dim=-1).to(y.dtype)

    def _halves(self, x: Tensor, parts: Parts) -> tuple[Tensor, Tensor]:
        first = x.shape[-1] // 2
        x = x.to(parts["f_down"].weight.dtype)
        return x[..., :first].contiguous(), x[..., first:].contiguous()

    def _net(self, name: str, x: Tensor, parts: Parts) -> Tensor:
        result: Tensor = parts[f"{name}_up"](self.phi(parts[f"{name}_down"](x)))
        return result

    def _shift(self, x: Tensor, by: Tensor, *, back: bool = False) -> Tensor:
        if self.kind == "nice":
            return x - by if back else x + by
        scale, shift = by.chunk(2, dim=-1)
        factor = torch.exp(_CLAMP * 0.636 * torch.atan(scale / _CLAMP))
        return (x - shift) / factor if back else factor * x + shift


def build_nets(kind: str, features: int, reduction_factor: float) -> dict[str, nn.Linear]:
    """The maps of `F` and `G`, not yet initialised; `F` reads the second half and writes the first."""
    first, second = features // 2, features - features // 2
    maps: dict[str, nn.Linear] = {}
    for name, reads, writes in (("f", second, first), ("g", first, second)):
        size = max(1, int(reads // reduction_factor))
        maps[f"{name}_down"] = nn.Linear(reads, size)
        maps[f"{name}_up"] = nn.Linear(size, writes if kind == "nice" else 2 * writes)
    return maps
