"""Trained weights in a folder, with what is needed to use them again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file

from ..training.training import trained_parameters

if TYPE_CHECKING:
    from ..grid.plan import Run

RUN_FILE = "run.json"
PARAMETERS_FILE = "trained_parameters.safetensors"


def save_adapter(model: Any, run: Run, folder: Path) -> None:
    """Writes the trained weights: as PEFT does where PEFT made them, else as one file of the trained parameters.

    `run.json` beside them holds the run's resolved configuration, where its model lies, and the columns that an
    example has beside the one to be predicted.
    """
    if hasattr(model, "peft_config"):
        model.save_pretrained(folder, save_embedding_layers=False)
    else:
        save_file(trained_parameters(model), folder / PARAMETERS_FILE)
    known = (*run.kind.columns[:-1], *run.kind.optional_columns)
    content = {
        **run.configuration,
        "model_name": run.model.lasting_name,
        "inputs": [column for column in known if column in run.data.splits["train"][0]],
    }
    (folder / RUN_FILE).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
