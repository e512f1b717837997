"""Batches in which each row has its own adapter, beside a call for each row."""

from __future__ import annotations

from typing import Any

import torch
from equations import METHODS, output, randomise
from peft import PeftModel, get_peft_model
from tiny_models import tiny_inputs, tiny_model
from torch import Tensor

ROWS = 7

BASE = "__base__"


def inputs_for(model_type: str, rows: int = ROWS) -> dict[str, Tensor]:
    """More rows of what the tiny models are called with, no two of them alike."""
    generator = torch.Generator().manual_seed(3)
    given = tiny_inputs(model_type)
    return {
        name: torch.randint(3, 90, (rows, *tensor.shape[1:]), generator=generator)
        if name.endswith("ids")
        else torch.ones(rows, *tensor.shape[1:], dtype=tensor.dtype)
        for name, tensor in given.items()
    }


def adapted(model_type: str, method: str, *options: dict[str, Any], auto_class: Any = None) -> PeftModel:
    """A model with the adapters `a0`, `a1`, …, one for each set of options, all drawn."""
    base = tiny_model(model_type, auto_class) if auto_class else tiny_model(model_type)
    model: Any = None
    for number, option in enumerate(options):
        config = METHODS[method](**{"bottleneck_size": 4, "init_weights": False, **option})
        if model is None:
            model = get_peft_model(base, config, adapter_name="a0")
        else:
            model.add_adapter(f"a{number}", config)
    model.set_requires_grad(list(model.peft_config))
    randomise(model)
    return model.eval()


def one_by_one(model: PeftModel, inputs: dict[str, Tensor], names: list[str]) -> Tensor:
    """What each row's adapter, set for the whole batch, gives for that row."""
    found = []
    for row, name in enumerate(names):
        if name == BASE:
            with model.disable_adapter():
                found.append(output(model, inputs)[row])
        else:
            model.base_model.set_adapter(name)
            found.append(output(model, inputs)[row])
    return torch.stack(found)


@torch.no_grad()
def together(model: PeftModel, inputs: dict[str, Tensor], names: list[str]) -> Tensor:
    return model(**inputs, adapter_names=names)[0]


def check(model: PeftModel, inputs: dict[str, Tensor], names: list[str]) -> None:
    expected = one_by_one(model, inputs, names)
    torch.testing.assert_close(together(model, inputs, names), expected, rtol=1e-5, atol=1e-5)


MIXED = ["a1", BASE, "a0", "a1", "a2", "a1", "a0"]
