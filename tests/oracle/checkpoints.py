"""AdapterHub checkpoints made by hand, each a small change away from one of the oracle's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from cases import FIXTURES
from torch import Tensor

Weights = dict[str, Tensor]


def changed(
    directory: Path,
    case: str = "bert",
    configuration: str = "houlsby",
    *,
    config: dict[str, Any] | None = None,
    description: Callable[[dict[str, Any]], Any] | None = None,
    weights: Callable[[Weights], Weights] | None = None,
) -> Path:
    """A copy of a checkpoint in `directory`, with fields of its configuration, its description or its weights changed.

    A field that is set to `...` is left out.
    """
    target = directory / "checkpoint"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(FIXTURES / case / configuration, target)
    file = target / "adapter_config.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["config"] = {k: v for k, v in (content["config"] | (config or {})).items() if v is not ...}
    if description is not None:
        content = description(content)
    file.write_text(json.dumps(content), encoding="utf-8")
    if weights is not None:
        binary = target / "pytorch_adapter.bin"
        torch.save(weights(torch.load(binary, weights_only=True)), binary)
    return target
