"""The files of a checkpoint of AdapterHub's library: found, read and written."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors.torch import load_file
from torch import Tensor

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILES = ("adapter.safetensors", "pytorch_adapter.bin")  # the first that exists is read, the last is written
HEAD_CONFIG_FILE = "head_config.json"
HEAD_WEIGHTS_FILES = ("model_head.safetensors", "pytorch_model_head.bin")


def locate(path: str | os.PathLike[str]) -> Path:
    """The directory of a checkpoint, downloaded if `path` is the id of a repository.

    Raises:
        FileNotFoundError: it is neither.
    """
    if os.path.isdir(path):
        return Path(path)
    wanted = [CONFIG_FILE, *WEIGHTS_FILES, HEAD_CONFIG_FILE, *HEAD_WEIGHTS_FILES]
    try:
        return Path(snapshot_download(str(path), allow_patterns=wanted))
    except (OSError, ValueError) as error:  # what the hub raises without network, repository or valid id
        message = f"{str(path)!r} is no directory, and the hub does not provide it: {error}"
        raise FileNotFoundError(message) from error


def read_json(file: Path, where: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, or no object.
    """
    if not file.is_file():  # nor a pipe, whose end nobody knows
        below = sorted(str(found.parent) for found in file.parent.glob(f"*/{file.name}"))
        hint = f", but in {', '.join(below[:3])}" if below else ""
        raise FileNotFoundError(f"{where}: there is no {file.name}{hint}")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # numbers of thousands of digits, and what is nested deep
        raise ValueError(f"{where}: {file.name} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{where}: {file.name} must hold an object, got {type(content).__name__}")
    return content


def read_description(file: Path, where: str, presets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The description of an adapter or a fusion, its `config` written out where it is the name of a preset.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or lacks a field.
    """
    description = read_json(file, where)
    if "peft_type" in description:
        raise ValueError(f"{where}: it is a checkpoint of PEFT, which PeftModel.from_pretrained loads")
    missing = {"config", "name", "model_type"} - description.keys()
    if missing:
        raise ValueError(f"{where}: {file.name} lacks {', '.join(sorted(missing))}")
    if not isinstance(description["name"], str):
        raise ValueError(f"{where}: {file.name}: name must be a string, got {description['name']!r}")
    config = description["config"]
    if isinstance(config, str) and config in presets:
        config = dict(presets[config])
    if not isinstance(config, dict):
        raise ValueError(f"{where}: config must be an object or one of {', '.join(presets)}, got {config!r}")
    return {**description, "config": config}


def read_tensors(directory: Path, names: tuple[str, ...], where: str) -> dict[str, Tensor]:
    """The tensors in the first of these files that exists.

    Raises:
        FileNotFoundError: none exists.
        ValueError: the file is damaged, or holds something else than tensors.
    """
    file = next((directory / name for name in names if (directory / name).is_file()), None)
    if file is None:
        raise FileNotFoundError(f"{where}: there is neither {' nor '.join(names)}")
    try:
        content = (
            load_file(file)
            if file.suffix == ".safetensors"
            else torch.load(file, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # damaged bytes can make an unpickler raise anything, with messages that fill a page
        raise ValueError(f"{where}: {file.name} is damaged, or holds something else than tensors") from error
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{where}: {file.name} must map names to tensors, got {type(content).__name__}")
    return dict(content)


def write(description: Mapping[str, object], file: Path, weights: Mapping[str, Tensor], weights_file: str) -> None:
    """Writes a description, and copies of tensors beside it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(description, indent=2, sort_keys=True), encoding="utf-8")
    copies = {name: value.detach().cpu().clone() for name, value in weights.items()}
    torch.save(copies, file.with_name(weights_file))
