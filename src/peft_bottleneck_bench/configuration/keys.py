"""The keys of a run configuration, their defaults, and the place where each setting belongs."""

from __future__ import annotations

from typing import Any

from ..models.methods import METHODS
from ..models.options import method_options
from .training_checks import training_fields
from .training_options import TAKEN

DEFAULTS: dict[str, Any] = {
    "tasks_from": [],  # folders with task files beside those of the project
    "seeds": [0],
    "limits": {},  # split -> number of examples; a split that is not named is used whole
    "max_length": None,  # tokens; None: what the model takes, at most 512
    "quantization": None,  # of the base: "8bit", "4bit", or none
    "dtype": "auto",  # of the frozen base: as the checkpoint has it, or "float32", "bfloat16", "float16"
    "precision": "fp32",  # or "bf16", "fp16"; "auto" is bf16 where the hardware has it, else fp32
    "reuse_frozen_prefix": False,  # compute the blocks below everything that is trained once for each example
    "prefix_limit_gib": 20,  # of what they give, on disk in `<results>-prefix`
    "resources": {},  # of a run on a cluster: {cpus: 1, gpus: 0, processes: 1}
    "training": {},  # over `training_options.TRAINING_DEFAULTS`
    "budget": None,  # {trainable_parameters: 300_000} or {trainable_parameters: 0.5 %}, the same for all methods
    "search": None,  # over `search_entries.SEARCH_DEFAULTS`; None: the settings are used as they are
    "results": "results",  # one record per run, below this folder or this address, as `s3://bucket/results`
    "adapters": None,  # the trained weights; None: beside the records, in `<results>-adapters`
}
KEYS = ("model", "tasks", "methods", *DEFAULTS)


def place_of(key: str, *, methods: bool = True) -> str:
    """Where the setting `key` belongs, as the end of an error; empty where no place has it.

    Args:
        methods: whether the options of methods count as places.
    """
    if key in TAKEN:
        return f"the harness sets it: {TAKEN[key]}"
    if key in training_fields():
        return f"it is a field of training: training: {{{key}: …}}"
    if key in KEYS:
        return f"it is a key of the file, beside methods: {key}: …"
    if methods and (owner := next((method for method in METHODS if key in method_options(method)), None)):
        return f"it is an option of a method: methods: [{{method: {owner}, {key}: …}}]"
    return ""
