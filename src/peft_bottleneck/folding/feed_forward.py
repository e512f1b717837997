"""The FFN of the base model as one thing, which takes a bottleneck with its own activation as `r` more neurons.

With `f(x) = W2 φ(W1 x + b1) + b2`,

    f(x) + B(x) = W2' φ(W1' x + b1') + b2',
    W1' = [W1; W_down], b1' = [b1; b_down], W2' = [W2, s·W_up], b2' = b2 + s·b_up,

and a gated FFN, `W2 (φ(W_gate x) ⊙ W1 x)`, takes a gated bottleneck the same way. So what is left is a plain
transformers model whose FFN is wider.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from ..bottleneck import ACTIVATIONS, Map, activation
from ..modules import is_full_precision

# Names to prefer where several compute the same.
COMMON_ACTIVATIONS = ("relu", "gelu", "gelu_new", "gelu_pytorch_tanh", "silu", "quick_gelu", "tanh", "relu2")
_POINTS = torch.linspace(-6, 6, 997)


@dataclass
class FeedForward:
    """One FFN of the base model, wherever its parts are.

    Attributes:
        name: the block's name.
        inputs: the maps that read the input: one, or gate and up, or one that computes both (`fused`).
        input_name: name of the first of them.
        output: the map that writes the output.
        phi: the activation, None where it is none that has a name.
        problem: why the FFN takes no further neurons; None if it does, as far as is known.
        original: parameters of the maps as they were before folding.
        original_width: neurons before folding.
    """

    name: str
    inputs: tuple[nn.Linear | Conv1D, ...]
    input_name: str
    output: nn.Linear | Conv1D
    phi: Callable[..., Any] | None
    problem: str | None = None
    original: dict[Any, tuple[Tensor, Tensor | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.original_width = self.width

    @property
    def width(self) -> int:
        return _sizes(self.output)[0]

    @property
    def fused(self) -> bool:
        return len(self.inputs) == 1 and _sizes(self.inputs[0])[1] == 2 * self.width

    @property
    def gated(self) -> bool:
        return self.fused or len(self.inputs) == 2

    @property
    def biased(self) -> bool:
        return all(getattr(linear, "bias", None) is not None for linear in (*self.inputs, self.output))

    def activation_name(self) -> str | None:
        """The name of `φ`, found by what it computes; None if no known activation computes it."""
        for name in (*COMMON_ACTIVATIONS, *ACTIVATIONS):
            if self._is(name):
                return name
        return None

    def _is(self, name: str) -> bool:
        if self.phi is None:
            return False
        with torch.no_grad():
            return torch.allclose(self.phi(_POINTS), activation(name)(_POINTS), atol=1e-6)

    def shapes(self, width: int) -> dict[nn.Module, dict[str, tuple[int, ...]]]:
        """The shapes of the weights and biases of the maps, were there this many neurons."""
        found: dict[nn.Module, dict[str, tuple[int, ...]]] = {}
        for linear in (*self.inputs, self.output):
            reads, writes = _sizes(linear)
            reads, writes = (width, writes) if linear is self.output else (reads, writes // self.width * width)
            weight = (reads, writes) if isinstance(linear, Conv1D) else (writes, reads)
            found[linear] = {"weight": weight} | ({} if getattr(linear, "bias", None) is None else {"bias": (writes,)})
        return found

    def obstacle(self, bottleneck: str, non_linearity: str, maps: Mapping[str, Map]) -> str | None:
        """Why a bottleneck cannot be folded here, with what to set instead; None if it can."""
        if self.problem is not None:
            return self.problem
        wanted = "gated" if self.gated else "plain"
        weights = [linear.weight for linear in (*self.inputs, self.output)]
        if not all(is_full_precision(weight) for weight in weights):
            return f"the FFN of {self.name} is quantised; load the base model in full precision to fold"
        if bottleneck != wanted:
            return f"the FFN of {self.name} is {wanted}, the bottleneck {bottleneck}; set bottleneck={wanted!r}"
        if not self._is(non_linearity):
            return (
                f"the FFN of {self.name} activates by {self.activation_name() or self.phi}, the bottleneck by "
                f"{non_linearity}; set non_linearity={self.activation_name()!r}"
            )
        for name, linear in maps.items():
            place = self.output if name == "up" else self.inputs[0]
            if linear.bias is not None and bool(linear.bias.any()) and getattr(place, "bias", None) is None:
                return f"the FFN of {self.name} has no place for the bias of {name!r}; set use_bias=False"
        return None

    def widen(self, maps: Mapping[str, Map] | None, scale: Tensor | float = 1.0, neurons: int = 0) -> None:
        """Adds a bottleneck's neurons, or, without one, `neurons` that do nothing."""
        neurons = neurons if maps is None else maps["down"].out_features
        if not self.original:
            self.original = {m: (m.weight, getattr(m, "bias", None)) for m in {*self.inputs, self.output}}
        reads = ("gate", "down") if self.gated else ("down",)
        added = [_neurons(None if maps is None else maps[name], self.inputs[0], neurons) for name in reads]
        if self.fused:
            old = _weight(self.inputs[0]).chunk(2), _bias(self.inputs[0]).chunk(2)
            rows = [torch.cat([half, new[0].to(half)]) for half, new in zip(old[0], added, strict=True)]
            biases = [torch.cat([half, new[1].to(half)]) for half, new in zip(old[1], added, strict=True)]
            _assign(self.inputs[0], torch.cat(rows), torch.cat(biases))
        else:
            for linear, (weight, bias) in zip(self.inputs, added, strict=True):
                old_weight = _weight(linear)
                _assign(
                    linear,
                    torch.cat([old_weight, weight.to(old_weight)]),
                    torch.cat([_bias(linear), bias.to(old_weight)]),
                )
        weight, bias = _weight(self.output), _bias(self.output)
        columns, shift = weight.new_zeros(len(weight), neurons), torch.zeros_like(bias)
        if maps is not None:
            factor = torch.as_tensor(scale, device=maps["up"].weight.device)
            columns = (maps["up"].weight * factor.reshape(-1, 1)).to(weight)
            if maps["up"].bias is not None:
                shift = (maps["up"].bias * factor).to(bias)
        _assign(self.output, torch.cat([weight, columns], dim=1), bias + shift)

    def restore(self) -> None:
        """Takes all added neurons away again."""
        for module, (weight, bias) in self.original.items():
            module.weight, module.bias = weight, bias
            _tell_sizes(module)
        self.original = {}


def _sizes(linear: nn.Linear | Conv1D) -> tuple[int, int]:
    """What a linear map reads and writes; the weight of a 4-bit one has another shape."""
    return tuple(linear.weight.shape) if isinstance(linear, Conv1D) else (linear.in_features, linear.out_features)


def _weight(linear: nn.Linear | Conv1D) -> Tensor:
    """`[out, in]`, as `nn.Linear` has it; transformers' `Conv1D` has it transposed."""
    weight: Tensor = linear.weight.detach()
    return weight.T if isinstance(linear, Conv1D) else weight


def _bias(linear: object) -> Tensor:
    bias: Tensor | None = getattr(linear, "bias", None)
    return _weight(linear).new_zeros(_sizes(linear)[1]) if bias is None else bias.detach()


def _neurons(linear: Map | None, like: object, neurons: int) -> tuple[Tensor, Tensor]:
    """Rows and biases to add to an input map."""
    if linear is None:
        weight = _weight(like)
        return weight.new_zeros(neurons, weight.shape[1]), weight.new_zeros(neurons)
    bias = linear.bias
    return linear.weight.detach(), linear.weight.new_zeros(neurons) if bias is None else bias.detach()


def _assign(linear: nn.Linear | Conv1D, weight: Tensor, bias: Tensor) -> None:
    stored = weight.T.contiguous() if isinstance(linear, Conv1D) else weight
    linear.weight = nn.Parameter(stored, requires_grad=False)
    if getattr(linear, "bias", None) is not None:
        linear.bias = nn.Parameter(bias, requires_grad=False)
    _tell_sizes(linear)


def _tell_sizes(linear: nn.Linear | Conv1D) -> None:
    rows, columns = linear.weight.shape
    if isinstance(linear, Conv1D):
        linear.nx, linear.nf = rows, columns
    else:
        linear.in_features, linear.out_features = columns, rows
