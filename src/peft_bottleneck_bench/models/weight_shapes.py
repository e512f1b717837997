"""Whether weights have the shapes that a configuration builds, by the headers of their files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, WEIGHTS_INDEX_NAME, WEIGHTS_NAME

from .trainable import head_modules

# A weight of another shape than the model's is reported, in place of transformers' error, which names none.
REPORTED: dict[str, Any] = {"ignore_mismatched_sizes": True, "output_loading_info": True}
# In the order in which transformers takes the first that is there: a file with all, or a list of shards.
_FIRST = (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME, WEIGHTS_NAME, WEIGHTS_INDEX_NAME)


def problem_with_shapes(model: PreTrainedModel, mismatched: Iterable[str | tuple[str, Any, Any]]) -> str | None:
    """What does not fit, or None; a task head of another size does, and is a fresh one.

    Args:
        model: as the configuration builds it.
        mismatched: what transformers reports: names with the shapes in the weights and in the model; before 5.0 names.
    """
    heads = tuple(f"{head}." for head in head_modules(model))
    found = {each if isinstance(each, str) else each[0]: each for each in mismatched}
    names = sorted(name for name in found if not name.startswith(heads))
    if not names:
        return None
    first = found[names[0]]
    built = list(model.state_dict()[names[0]].shape)
    if isinstance(first, str):
        differ = f"{first} has not the shape {built} that the configuration builds"
    else:
        saved = list(first[1])
        fields = ", ".join(_fields(model.config, set(built) - set(saved)))
        differ = f"{first[0]} has the shape {saved}, and the configuration builds {built}"
        differ += f" ({fields})" if fields else ""
    more = f"; {len(names) - 1} more do not fit" if len(names) > 1 else ""
    return f"the weights do not fit config.json: {differ}{more}"


def _fields(config: PretrainedConfig, sizes: set[int]) -> list[str]:
    """The fields of a configuration that have one of these sizes."""
    values = config.get_text_config().to_dict().items()
    return [f"{name}={value}" for name, value in values if type(value) is int and value in sizes]


def shapes_in(folder: Path) -> dict[str, Tensor]:
    """The weights that transformers reads from a directory, without their values: by name, on the meta device.

    Empty where transformers finds none under its names.

    Raises:
        RuntimeError, pickle.UnpicklingError: torch does not read a file.
    """
    first = next((folder / name for name in _FIRST if (folder / name).is_file()), None)
    if first is None:
        return {}
    files = [first]
    if first.name.endswith(".index.json"):
        named = json.loads(first.read_text(encoding="utf-8"))["weight_map"].values()
        files = [folder / name for name in sorted(set(named))]
    return {name: weight for file in files for name, weight in _shapes_of(file).items()}


def _shapes_of(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".bin":
        loaded: dict[str, Tensor] = torch.load(file, map_location="meta", weights_only=True)
        return loaded
    with safe_open(file, "pt") as weights:
        names = weights.keys()
        return {name: torch.empty(weights.get_slice(name).get_shape(), device="meta") for name in names}
