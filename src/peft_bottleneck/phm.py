"""Linear maps as sums of Kronecker products: parameterised hypercomplex multiplication (PHM).

    W = (Σ_i A_i ⊗ M_i)ᵀ,  A_i ∈ R^{n×n},  M_i ∈ R^{d_in/n × d_out/n},  i = 1 … n.

The `A_i` are the rule, and either kind of matrix may be a product of two thin ones, `L_i R_i`. Zhang et al. 2021,
"Beyond Fully-Connected Layers with Quaternions". Compacter (Mahabadi et al. 2021) shares one rule between all maps of
an adapter and has `M_i` of rank 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Phm:
    """How the maps of an adapter are parameterised.

    Attributes:
        dim: `n`.
        rank: the rank of each `M_i`; None: it is not factorised.
        shared_rule: whether all maps have one rule.
        shared_weights: whether all maps of the same name have the same `M_i`.
        factorized_rule: whether each `A_i` is a product of a column and a row.
        learned_rule: whether the rule is trained.
    """

    dim: int
    rank: int | None = 1
    shared_rule: bool = True
    shared_weights: bool = False
    factorized_rule: bool = False
    learned_rule: bool = True


class PhmLinear(nn.Module):
    """`x Wᵀ + b`, `[…, d_in]` to `[…, d_out]`, with `W` a sum of Kronecker products.

    Its parameters are `rule`, `[n, n, n]`, and `matrices`, `[n, d_in/n, d_out/n]`, each whole or as two factors,
    `…_left` and `…_right`, and `bias`.

    Args:
        in_features: `d_in`.
        out_features: `d_out`.
        phm: how `W` is parameterised.
        bias: whether there is `b`.
        rule_of: the map whose rule this one uses; None: its own.
        matrices_of: the map whose `M_i` this one uses; None: its own.

    Raises:
        ValueError: `n` does not divide both sizes, or a map to share with has other sizes.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        phm: Phm,
        *,
        bias: bool,
        rule_of: PhmLinear | None = None,
        matrices_of: PhmLinear | None = None,
    ) -> None:
        super().__init__()
        n = phm.dim
        if in_features % n or out_features % n:
            raise ValueError(f"phm_dim={n} must divide the sizes of every map, got {in_features} and {out_features}")
        if matrices_of is not None and (matrices_of.in_features, matrices_of.out_features) != (
            in_features,
            out_features,
        ):
            raise ValueError(
                "shared_phm_weights=True needs maps of one size, got "
                f"{in_features}×{out_features} and {matrices_of.in_features}×{matrices_of.out_features}"
            )
        self.in_features: int = in_features
        self.out_features: int = out_features
        # In tuples, which nn.Module does not register: a shared parameter is saved once, with its keeper, and looked
        # up there in every call.
        self.keeper: dict[str, tuple[PhmLinear, ...]] = {
            "rule": () if rule_of is None else (rule_of,),
            "matrices": () if matrices_of is None else (matrices_of,),
        }
        if rule_of is None:
            self._register("rule", n, n, n, 1 if phm.factorized_rule else None, trained=phm.learned_rule)
        if matrices_of is None:
            self._register("matrices", n, in_features // n, out_features // n, phm.rank)
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None

    def own(self, name: str) -> dict[str, Tensor]:
        """Its own tensors of `rule` or `matrices` by name; empty if it shares them."""
        tensors = {**self._parameters, **self._buffers}
        names = (name, f"{name}_left", f"{name}_right")
        return {key: value for key in names if (value := tensors.get(key)) is not None}

    def stack(self, name: str) -> Tensor:
        """The matrices of `rule` or `matrices`, its own or shared."""
        keeper = self.keeper[name]
        if keeper and getattr(self, "_is_replica", False):
            raise RuntimeError(
                "Shared PHM parameters do not work under nn.DataParallel; start one process per device instead: "
                "`accelerate launch`, or `torchrun`."
            )
        factors = [*(keeper[0] if keeper else self).own(name).values()]
        return torch.bmm(*factors) if len(factors) == 2 else factors[0]

    @property
    def dtype(self) -> torch.dtype:
        """The type of its computation."""
        keeper = self.keeper["matrices"]
        return next(iter((keeper[0] if keeper else self).own("matrices").values())).dtype

    @property
    def weight(self) -> Tensor:
        """`W`, `[d_out, d_in]`."""
        rule, matrices = self.stack("rule"), self.stack("matrices")
        # Σ_i A_i ⊗ M_i: entry (p·rows + r, q·columns + c) is Σ_i A_i[p, q]·M_i[r, c].
        product = torch.einsum("ipq,irc->prqc", rule.to(matrices.dtype), matrices)
        return product.reshape(self.in_features, self.out_features).T

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    @torch.no_grad()
    def reset_parameters(self, *, zero: bool = False) -> None:
        """Initialises each matrix of its own Glorot-uniformly; `zero` makes `W` zero."""
        for tensor in (*self.own("rule").values(), *self.own("matrices").values()):
            for matrix in tensor:
                nn.init.xavier_uniform_(matrix)
        if zero:
            for tensor in [*self.own("matrices").values()][-1:]:
                nn.init.zeros_(tensor)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def _register(self, name: str, n: int, rows: int, columns: int, rank: int | None, *, trained: bool = True) -> None:
        shapes = {name: (n, rows, columns)}
        if rank is not None:
            shapes = {f"{name}_left": (n, rows, rank), f"{name}_right": (n, rank, columns)}
        for key, shape in shapes.items():
            if trained:
                self.register_parameter(key, nn.Parameter(torch.empty(shape)))
            else:
                self.register_buffer(key, torch.empty(shape))


def build_phm_maps(
    sizes: Mapping[str, tuple[int, int]], phm: Phm, *, bias: bool, first: Mapping[str, PhmLinear] | None
) -> dict[str, PhmLinear]:
    """The maps of a bottleneck by name, not yet initialised.

    Args:
        sizes: the input and output size of each map.
        phm: how they are parameterised.
        bias: whether they have biases.
        first: the maps of the adapter's first bottleneck, which keeps what is shared; None: this is the first.
    """
    maps: dict[str, PhmLinear] = {}
    for name, (reads, writes) in sizes.items():
        keeper = next(iter((first or maps).values()), None) if phm.shared_rule else None
        same = first[name] if phm.shared_weights and first is not None else None
        maps[name] = PhmLinear(reads, writes, phm, bias=bias, rule_of=keeper, matrices_of=same)
    return maps
