"""Trackers (`report_to`) see each run of a grid as a run of its own, and keep what they write."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..run import Run

TENSORBOARD = "TENSORBOARD_LOGGING_DIR"


@contextmanager
def tracked(run: Run) -> Iterator[None]:
    """While this lasts, TensorBoard writes below `<results>-logs`, or the folder in `TENSORBOARD_LOGGING_DIR`, at the
    run's place; at the end Weights & Biases closes its run.

    transformers puts TensorBoard's files beside the checkpoints, which a finished run takes away, and leaves a run of
    Weights & Biases open until the process ends: all runs of a grid would be one.
    """
    given = os.environ.get(TENSORBOARD)
    os.environ[TENSORBOARD] = str(Path(given or f"{run.results}-logs") / run.place)
    try:
        yield
    finally:
        if given is None:
            del os.environ[TENSORBOARD]
        else:
            os.environ[TENSORBOARD] = given
        wandb = sys.modules.get("wandb")
        if wandb is not None and wandb.run is not None:
            wandb.finish()
