"""One run in this process: its record, or why there is none."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from .. import interruption, processes
from ..files import storage_cause
from ..kinds import Context
from ..records import Points, Record
from ..run import Run
from ..training.callbacks import PrunedError
from ..training.execute import execute, failed
from ..training.features import Split, make_features
from ..training.lengths import notes_on_cuts


@dataclass(frozen=True)
class Unrecorded:
    """A run without a record, and why there is none."""

    reason: str


Result = Record | Unrecorded


class Attempt:
    """Executes runs one after the other; keeps the features of the latest task and context, since a grid asks for
    them in blocks.

    Args:
        say: is called with notes for the user.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self.say = say
        self.key: tuple[str, Context] | None = None
        self.features: Mapping[str, Split] = {}

    def __call__(self, run: Run, on_step: Callable[[int, int], None]) -> Result:
        """The record of `run`, which says `failed` where it raised: the reason is in it, and other runs go on.

        Raises:
            KeyboardInterrupt: a signal has asked for the end.
        """
        interruption.check()
        try:
            result: Result = execute(run, self.features_of(run), on_step, self.say)
        except Exception as error:
            interruption.check()  # a library may have turned the interruption into this error
            result = record_failure(run, reason_of(error), error.curve if isinstance(error, PrunedError) else ())
        if run.trial and processes.is_main():
            shutil.rmtree(run.adapter_path, ignore_errors=True)  # a search looks for settings, not for weights
        gc.collect()  # a model and its trainer refer to each other: free them before the next ones are made
        return result

    def features_of(self, run: Run) -> Mapping[str, Split]:
        key = (run.task.name, run.context)
        if key != self.key:
            self.features = make_features(run)
            self.key = key
            for split, made in self.features.items():
                examples = f"{len(run.data.splits[split]):,} {split} examples"
                for note in notes_on_cuts(run, [made.encoded], examples):
                    self.say(f"{run.task.name}: {note}")
        return self.features


def record_failure(run: Run, reason: str, curve: Points = ()) -> Result:
    """The record of a run that failed, written; or why it cannot be written.

    Args:
        curve: of a trial that a pruner ended: `[step, score]` of its evaluations.
    """
    try:
        return failed(run, reason, curve)
    except Exception as error:
        return Unrecorded(f"failed: {reason}; no record: {_first_line(error)}")


def reason_of(error: Exception) -> str:
    """The reason in the record of a failed run."""
    if isinstance(error, PrunedError):
        return str(error)
    reason = f"{type(error).__name__}: {_first_line(error)}".removesuffix(": ")
    # On a CPU, PyTorch raises a plain RuntimeError.
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in reason:
        return f"out of memory: try a smaller training.per_device_train_batch_size or max_length ({reason})"
    return _first_line(error) if storage_cause(error) else reason


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")
