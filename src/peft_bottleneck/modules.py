"""Facts on a module of the base model: whether it normalises, its channels, the module that it wraps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as hooks_of_all
from transformers.pytorch_utils import Conv1D

from .registration import BaseTunerLayer

_EXPERTS = re.compile(r"(?:^|\.)experts(?:$|\.)")


def is_norm(module: nn.Module) -> bool:
    """Whether a module normalises: the norms of the models have only their names in common."""
    return "Norm" in type(module).__name__


def is_linear(module: nn.Module) -> bool:
    """Whether a module is a linear map: torch's, or transformers' `Conv1D`."""
    return isinstance(module, (nn.Linear, Conv1D))


_LINEAR_FORWARD = nn.Linear.forward


def bare_parameters(module: nn.Module) -> Mapping[str, Any] | None:
    """`weight` and `bias` of a module whose call is `F.linear` of them alone: nothing converts or watches it.

    None for any other. A call through the module costs a processor about as much as the product for a short text.
    """
    own: Mapping[str, Any] = module._parameters
    if (
        type(module) is nn.Linear
        and len(own) == 2  # a sharded or replicated module has others, or attributes in their place
        and not (
            module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
        )
        and "forward" not in module.__dict__
        and nn.Linear.forward is _LINEAR_FORWARD
        and not (
            hooks_of_all._global_forward_hooks
            or hooks_of_all._global_forward_pre_hooks
            or hooks_of_all._global_backward_hooks
            or hooks_of_all._global_backward_pre_hooks
        )
    ):
        return own
    return None


def is_bare_linear(module: nn.Module) -> bool:
    """Whether calling a module is `F.linear` of its parameters alone."""
    return bare_parameters(module) is not None


def is_experts(name: str) -> bool:
    """Whether a module of this name holds the experts of a mixture."""
    return _EXPERTS.search(name) is not None


def has_experts(module: nn.Module) -> bool:
    """Whether there is a mixture of experts in a module."""
    return any(is_experts(name) for name, _ in base_modules(module))


def is_full_precision(weight: object) -> bool:
    """Whether a weight holds floating-point numbers; 4-bit weights may be stored in such a type, which FSDP needs."""
    return isinstance(weight, Tensor) and weight.is_floating_point() and not hasattr(weight, "quant_state")


def feature_sizes(module: nn.Module, hidden_size: int | None) -> tuple[int, int]:
    """The channels that a module reads and writes, in its last dimension.

    Linear maps and norms know theirs. A module with linear maps inside reads as many channels as the first of them.
    It writes the same number if one of them does or if it is a mixture of experts, else that of the last one. Without
    linear maps, both are the model's `hidden_size`.

    Raises:
        ValueError: the sizes are not known.
    """
    if isinstance(module, Conv1D):
        return int(module.weight.shape[0]), int(module.nf)
    if isinstance(module, nn.Embedding):
        return module.embedding_dim, module.embedding_dim
    sizes = getattr(module, "in_features", None), getattr(module, "out_features", None)
    if all(isinstance(size, int) for size in sizes):
        return sizes  # type: ignore[return-value]
    weight = getattr(module, "weight", None)
    if weight is not None and weight.dim() == 1:
        return len(weight), len(weight)
    linears = [child for child in module.modules() if is_linear(child)]
    if linears:
        reads, writes = feature_sizes(linears[0], None)[0], [feature_sizes(linear, None)[1] for linear in linears]
        return reads, reads if reads in writes or has_experts(module) else writes[-1]
    if hidden_size is None:
        raise ValueError(
            f"It is unknown how many channels {type(module).__name__} reads and writes. Supported are linear layers, "
            "normalisation layers, embeddings, and modules that contain linear layers."
        )
    return hidden_size, hidden_size


def base_modules(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """`named_modules` of the model without adapters."""
    seen: set[nn.Module] = set()

    def below(name: str, child: nn.Module) -> Iterator[tuple[str, nn.Module]]:
        base = child.get_base_layer() if isinstance(child, BaseTunerLayer) else child
        if base not in seen:
            seen.add(base)
            yield name, base
            for inner_name, inner in base.named_children():
                yield from below(f"{name}.{inner_name}".lstrip("."), inner)

    return below("", module)
