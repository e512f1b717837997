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

from peft_bottleneck.adapterhub.head_layouts import AUTO_CLASSES

FIXTURES = Path(__file__).parent / "fixtures"
DIRECTORY = Path(os.environ.get("ORACLE", FIXTURES))  # ORACLE=… runs the tests on a larger one
_CHECKPOINTS = sorted(
    (path.parent.parent.name, path.parent.name) for path in DIRECTORY.glob("*/*/adapter_config.json")
)
CASES = [case for case in _CHECKPOINTS if not case[1].startswith("head_")]
HEADS = [case for case in _CHECKPOINTS if case[1].startswith("head_")]


def base_model(case: str) -> Any:
    """The base model, of the class that it was saved from."""
    directory = DIRECTORY / case / "base"
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    return getattr(transformers, config["architectures"][0]).from_pretrained(directory).eval()


def model_for_head(case: str, head: str) -> Any:
    """The base model as the class of transformers that computes such a head."""
    config = json.loads((DIRECTORY / case / head / "head_config.json").read_text(encoding="utf-8"))["config"]
    return getattr(transformers, AUTO_CLASSES[config["head_type"]]).from_pretrained(DIRECTORY / case / "base").eval()


def logits_of(model: Any, head: str, inputs: dict[str, Tensor]) -> Tensor:
    """What a head computes, at the positions that are not padded; a question's start and end in the last dimension."""
    if "multiple_choice" in head:
        inputs = {name: value.unsqueeze(0) for name, value in inputs.items()}
    if "classification" in head or "question_answering" in head:
        inputs = {name: value for name, value in inputs.items() if not name.startswith("decoder_")}
    with torch.no_grad():
        output = model.eval()(**inputs)
    return torch.stack((output.start_logits, output.end_logits), -1) if "question" in head else output.logits


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
    return output[mask.bool()] if mask is not None and output.shape[:2] == mask.shape else output
