"""Which models have a prefix to reuse, and how long it is."""

from __future__ import annotations

from typing import Any

from torch import nn

from .stack import Stack, find_stack, frozen_blocks

_WRAPPED = ("module", "_orig_mod")  # by DistributedDataParallel, by torch.compile
_LAYER_DROPS = ("layerdrop", "encoder_layerdrop")


def base_of(model: Any) -> nn.Module:
    """The model of transformers inside what is around it: PEFT, DistributedDataParallel.

    Raises:
        ValueError: what is around it computes with copies of the model, or puts more in than its inputs.
    """
    if isinstance(model, nn.DataParallel):
        raise ValueError("nn.DataParallel computes with copies of the model. Launch one process per GPU.")
    for name in _WRAPPED:
        if isinstance(inner := getattr(model, name, None), nn.Module):
            return base_of(inner)
    if hasattr(model, "peft_config"):
        for config in model.peft_config.values():
            if getattr(config, "is_prompt_learning", False):
                raise ValueError(
                    f"{config.peft_type.value} trains what enters the first block: there is no prefix to reuse."
                )
        base: nn.Module = model.get_base_model()
        return base
    if not isinstance(model, nn.Module) or not hasattr(model, "config"):
        raise ValueError(f"{type(model).__name__} is no model of transformers.")
    return model


def find_prefix(model: nn.Module) -> tuple[Stack, int]:
    """The blocks of a model, and how many of them are frozen below what is trained; no weight is read.

    Raises:
        ValueError: none is, or the model's lower blocks cannot be left out of a call.
    """
    base: Any = base_of(model)
    stack = find_stack(base)
    owner = base.get_submodule(stack.owner)
    for name in _LAYER_DROPS:
        if getattr(owner.config, name, 0):
            raise ValueError(
                f"{type(base).__name__} leaves out blocks at random in training ({name} {getattr(owner.config, name)})"
                f": set {name} to 0 to reuse a prefix."
            )
    blocks, reason = frozen_blocks(owner, stack)
    if not blocks:
        place = f"{stack.owner}.{reason}" if stack.owner else reason
        raise ValueError(
            f"Nothing is frozen below what is trained: {place} is trained or adapted, in or before the first block of "
            f"{type(base).__name__}. Adapters in upper blocks alone (layers_to_transform) leave a prefix to reuse."
        )
    return stack, blocks
