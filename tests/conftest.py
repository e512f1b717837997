"""What all tests share."""

from __future__ import annotations

import os

# No test may reach for the hub: what is needed is built here.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from transformers.utils import logging
from versions import any_peft  # noqa: F401  a fixture

torch.set_num_threads(1)  # the models are tiny
logging.disable_progress_bar()
