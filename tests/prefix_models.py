"""Tiny models whose lower blocks are frozen."""

from __future__ import annotations

from typing import Any

import torch
from equations import METHODS, randomise, without_dropout
from peft import LoraConfig, get_peft_model
from tiny_models import ENCODER_DECODERS, tiny_model
from torch import Tensor
from transformers import AutoModel


def tiny(model_type: str, auto_class: Any = AutoModel, **changes: Any) -> Any:
    """Three blocks, no dropout, no cache: what a cache does to the layout of keys changes the last bits."""
    config = {"n_layer": 3} if model_type in ("gpt2", "bloom") else {"num_hidden_layers": 3}
    config = {"n_layers": 3} if model_type == "distilbert" else config
    if model_type == "gpt_neo":
        config = {"num_layers": 3, "attention_types": [[["global", "local", "global"], 1]]}
    if model_type in ENCODER_DECODERS:
        config = {"encoder_layers": 3} if "t5" not in model_type else {"num_layers": 3}
    return without_dropout(tiny_model(model_type, auto_class, **config, use_cache=False, **changes))


def with_adapter(model: Any, method: str, blocks: list[int], **options: Any) -> Any:
    if method == "lora":
        options["fan_in_fan_out"] = model.config.model_type == "gpt2"
        return randomise(get_peft_model(model, LoraConfig(r=4, layers_to_transform=blocks, **options)))
    return randomise(get_peft_model(model, METHODS[method](layers_to_transform=blocks, **options)))


LAYERS = {"layers_pattern": "layers"}


def tensors(output: Any, mask: Tensor) -> list[Tensor]:
    """What a call returned, at the positions that are no padding."""
    found = [value for value in output.values() if isinstance(value, Tensor)]
    return [value[mask.bool()] if value.shape[:2] == mask.shape else value for value in found]


def assert_same(output: Any, expected: Any, inputs: dict[str, Tensor]) -> None:
    mask = inputs.get("attention_mask", torch.ones(0, 0))
    found, wanted = tensors(output, mask), tensors(expected, mask)
    assert len(found) == len(wanted) > 0
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one, other)
