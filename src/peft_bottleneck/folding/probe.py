"""The FFNs of a model, and what they compute between their maps: found by calling the skeleton with numbers there.

An FFN takes a bottleneck as further neurons where each of its neurons is `φ(h)`, or `φ(g)·h` in a gated one, of that
neuron's own `h` and `g` alone. A norm over the neurons, a choice of the largest or a rounding of all of them is not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from ..bottleneck import ACTIVATIONS, activation
from ..modules import base_modules
from ..sites.calling import call_blocks, quietly
from ..sites.family import Family
from ..sites.skeleton import ShapesOnly, skeleton
from .feed_forward import COMMON_ACTIVATIONS, FeedForward

_FORWARDS = (nn.Linear.forward, Conv1D.forward)
_SPREAD = 3.0  # wide enough to show where an activation is cut off


def feed_forwards(model: nn.Module, family: Family) -> dict[str, FeedForward]:
    """The FFNs of a model by the name of the module that a parallel adapter wraps.

    In a family with a row the activation is a module; elsewhere it is found by what the FFN computes (`probe`).
    """
    plain = dict(base_modules(model))
    found: dict[str, FeedForward] = {}
    if family.ffn_output is None:
        return found
    for name, module in plain.items():
        match = re.fullmatch(family.path(family.ffn_output), name)
        if not match:
            continue
        block = match["block"]
        inside = {key.removeprefix(block + "."): value for key, value in plain.items() if key.startswith(block + ".")}
        names = [key for pattern in family.ffn_input for key in inside if re.fullmatch(pattern, key)]
        wrapped = [key for key in inside if family.ffn and re.fullmatch(family.ffn, key)]
        ffn = FeedForward(
            name=block,
            inputs=tuple(inside[key] for key in names),
            input_name=f"{block}.{names[0]}",
            output=module,
            phi=next((child for key, child in inside.items() if _is_activation(key, child)), None),
        )
        if ffn.phi is None and wrapped and family.model_types:
            _take_phi_from_configuration(ffn, inside[wrapped[0]], model)
        found[f"{block}.{wrapped[0]}" if wrapped else name] = ffn
    if not family.model_types:
        probe(model, list(found.values()))
    return found


@torch.no_grad()
def _take_phi_from_configuration(ffn: FeedForward, module: nn.Module, model: PreTrainedModel) -> None:
    """Takes the activation that the configuration names, if the FFN computes with it.

    Libraries of faster kernels, Liger for example, replace the classes of FFNs by others without such a module. Their
    kernels run on the model's own device alone.
    """
    names = [getattr(model.config, name, None) for name in ("hidden_act", "hidden_activation")]
    name = next((name for name in names if name in ACTIVATIONS), None)
    weight = ffn.inputs[0].weight
    if name is None or weight.is_meta or ffn.fused:
        return
    x = torch.randn(8, weight.shape[-1], device=weight.device, dtype=weight.dtype)
    hidden = activation(name)(ffn.inputs[0](x))
    for linear in ffn.inputs[1:]:
        hidden = hidden * linear(x)
    tolerance = 1e-4 if weight.dtype == torch.float32 else 2e-2
    if torch.allclose(module(x), ffn.output(hidden), atol=tolerance, rtol=tolerance):
        ffn.phi = activation(name)


def _is_activation(name: str, module: nn.Module) -> bool:
    leaf = name.rpartition(".")[2]
    return "attention" not in name and re.search(r"act|gelu", leaf) is not None and not [*module.parameters()]


class _Probe:
    """Gives numbers in the place of what the maps of one FFN write, and takes what the last one reads."""

    def __init__(self, inputs: Sequence[nn.Module], output: nn.Module) -> None:
        self.given: dict[int, Tensor] = {}
        self.taken: Tensor | None = None
        for index, module in enumerate(inputs):
            module.register_forward_hook(self._giving(index))
        output.register_forward_pre_hook(self._take)

    def _giving(self, index: int) -> Any:
        def hook(module: nn.Module, args: object, output: object) -> object:
            if not isinstance(output, Tensor):
                return output
            self.given[index] = torch.randn(output.shape) * _SPREAD
            return self.given[index]

        return hook

    def _take(self, module: nn.Module, args: Any) -> None:
        self.taken = args[0]


def probe(model: nn.Module, ffns: Sequence[FeedForward]) -> None:
    """Finds the activation of each FFN, and which of two input maps is the gate; else sets its `problem`."""
    names = {module: name for name, module in base_modules(model)}
    with quietly():
        root = skeleton(model)
        modules = dict(root.named_modules())
        probes = {
            ffn.name: _Probe([modules[names[linear]] for linear in ffn.inputs], modules[names[ffn.output]])
            for ffn in ffns
        }
        call_blocks(root, {name: modules[name] for name in probes}, ShapesOnly(), lambda: _reached(probes))
        for ffn in ffns:
            _conclude(ffn, probes[ffn.name])


def _reached(probes: dict[str, _Probe]) -> set[str]:
    return {name for name, found in probes.items() if found.taken is not None}


def _conclude(ffn: FeedForward, found: _Probe) -> None:
    ffn.phi = None
    others = {type(linear).__name__ for linear in (*ffn.inputs, ffn.output) if type(linear).forward not in _FORWARDS}
    parts = [found.given[index] for index in sorted(found.given)]
    if others:
        ffn.problem = f"the maps of the FFN of {ffn.name} are no plain linear maps but {', '.join(sorted(others))}"
    elif found.taken is None or found.taken.is_meta or len(parts) != len(ffn.inputs):
        ffn.problem = f"the FFN of {ffn.name} has trained weights between its maps"
    else:
        gate, *rest = parts[0].chunk(2, dim=-1) if ffn.fused else parts
        name = _activation(found.taken, gate, rest)
        if name is None and len(parts) == 2:
            name = _activation(found.taken, rest[0], [gate])
            ffn.inputs = ffn.inputs[::-1] if name else ffn.inputs
        if name is None:
            formula = "φ(g)·h" if ffn.gated else "φ(h)"
            ffn.problem = f"the FFN of {ffn.name} does not compute {formula} of each neuron with a φ that has a name"
        else:
            ffn.phi = activation(name)


def _activation(taken: Tensor, gate: Tensor, rest: Sequence[Tensor]) -> str | None:
    """The name of the `φ` with `taken = φ(gate)`, or `φ(gate)·rest`."""
    for name in (*COMMON_ACTIVATIONS, *ACTIVATIONS):
        try:
            computed = activation(name)(gate)
        except Exception:  # an activation that needs more than numbers
            continue
        for factor in rest:
            computed = computed * factor
        if computed.shape == taken.shape and torch.allclose(computed, taken, atol=1e-5):
            return name
    return None
