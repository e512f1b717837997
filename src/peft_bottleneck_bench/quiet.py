"""Silences messages of the libraries that do not concern users of the command line."""

from __future__ import annotations

import logging
import os
import warnings

LIBRARIES = ("accelerate", "bitsandbytes", "datasets", "evaluate", "huggingface_hub", "peft", "torch", "transformers")


def quiet() -> None:
    """Silences progress bars, load reports, deprecations and hints of the libraries; their errors still show.

    Call it before importing any of them: some print while they are imported.
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    for library in LIBRARIES:
        logging.getLogger(library).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module=rf"{library}(\.|$)")


def quiet_bars() -> None:
    """Switches off the progress bars that need a call; imports transformers and datasets."""
    import datasets
    import transformers

    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
