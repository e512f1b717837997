"""The oracle's cases: base models, checkpoints and outputs, as `make_oracle.py` lays them out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor

FIXTURES = Path(__file__).parent / "fixtures"
DIRECTORY = Path(os.environ.get("ORACLE", FIXTURES))  # ORACLE=… runs the tests on a larger one
CASES = sorted((path.parent.parent.name, path.parent.name) for path in DIRECTORY.glob("*/*/adapter_config.json"))


def base_model(case: str) -> Any:
    """The base model, of the class that it was saved from."""
    directory = DIRECTORY / case / "base"
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    return getattr(transformers, config["architectures"][0]).from_pretrained(directory).eval()


def golden(case: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What to call the model with, and its outputs."""
    tensors = load_file(DIRECTORY / case / "golden.safetensors")
    inputs = {name.removeprefix("input."): tensors.pop(name) for name in list(tensors) if name.startswith("input.")}
    return inputs, tensors


def output_of(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """The tensor that is compared, without the positions of an encoder that are padded."""
    with torch.no_grad():
        output = model.eval()(**inputs)
    if "image_embeds" in output and "text_embeds" in output:
        return torch.cat((output["image_embeds"], output["text_embeds"]))
    names = ("last_hidden_state", "logits", "text_embeds")
    return next(tensor for name in names if (tensor := output.get(name)) is not None)


def unpadded(output: Tensor, inputs: dict[str, Tensor]) -> Tensor:
    """An output without the padded positions of the input, where it has these positions."""
    mask = inputs.get("attention_mask")
    return output[mask.bool()] if mask is not None and output.shape[:-1] == mask.shape else output
