"""What all tests share."""

from __future__ import annotations

import os
import sys

import pytest

# Without `--gpu` everything is tested on the CPU, on every machine. Libraries look for devices when they are imported.
# The processes of pytest-xdist have what the first one sets.
if "--gpu" not in sys.argv and "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
# No test may reach for the hub: what is needed is built here.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from transformers.utils import logging
from versions import any_peft  # noqa: F401  a fixture

torch.set_num_threads(1)  # the models are tiny
logging.disable_progress_bar()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--gpu", action="store_true", help="let the tests see CUDA devices: pytest --gpu tests/gpu")
