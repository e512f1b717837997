"""These tests need a CUDA device, and are skipped without one or without `--gpu`: `make test-gpu`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device and --gpu")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(missing)
