"""Writes trained weights into a folder, with the data to use them again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from transformers import PreTrainedModel

from .parameters import trained_parameters

RUN_FILE = "run.json"
PARAMETERS_FILE = "trained_parameters.safetensors"
NOT_HASHED = ("README.md", RUN_FILE)


def save_adapter(model: PreTrainedModel, description: Mapping[str, object], folder: Path) -> None:
    """Writes the trained weights: an adapter by PEFT, else one file of the trained parameters.

    Args:
        description: the content of `run.json` beside them, which `Run.description` gives. Hashes of the other files
            are added.
    """
    if hasattr(model, "peft_config"):
        model.save_pretrained(folder, save_embedding_layers=False)
    else:
        save_file(trained_parameters(model), folder / PARAMETERS_FILE)
    hashes = {path.name: sha256(path) for path in sorted(folder.glob("*.*")) if path.name not in NOT_HASHED}
    text = json.dumps({**description, "sha256": hashes}, indent=2, ensure_ascii=False) + "\n"
    (folder / RUN_FILE).write_text(text, encoding="utf-8")


def sha256(file: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()
