"""Trained weights in a folder, with what is needed to use them again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file

from .training import trained_parameters

if TYPE_CHECKING:
    from .plan import Run

RUN_FILE = "run.json"
PARAMETERS_FILE = "trained_parameters.safetensors"


def save_adapter(model: Any, run: Run, folder: Path) -> None:
    """Writes the trained weights: as PEFT does where PEFT made them, else as one file of the trained parameters.

    `run.json` beside them holds the run's resolved configuration and the name of its model.
    """
    if hasattr(model, "peft_config"):
        model.save_pretrained(folder, save_embedding_layers=False)
    else:
        save_file(trained_parameters(model), folder / PARAMETERS_FILE)
    content = {**run.configuration, "model_name": run.model.name}
    (folder / RUN_FILE).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
