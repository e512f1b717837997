"""The number of steps of a run, and an estimate of its time from finished runs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

from .. import records
from ..hardware import hardware
from ..run import Run

MACHINE = ("device", "processor", "cores")  # of a record's hardware: what must be the same for times to be so


def optimiser_steps(run: Run) -> int:
    """The steps that the run takes unless it stops early; 0 where nothing is trained.

    It assumes one row per example; long texts take more.
    """
    if not run.trainable_parameters:
        return 0
    if run.training.get("max_steps", -1) > 0:
        return int(run.training["max_steps"])
    batches: float = run.data.counts["train"] / (run.training["per_device_train_batch_size"] * run.processes)
    whole = math.floor(batches) if run.training.get("dataloader_drop_last") else math.ceil(batches)
    steps = max(math.ceil(whole / int(run.training.get("gradient_accumulation_steps", 1))), 1)
    epochs = float(run.training["num_train_epochs"])
    return math.ceil(steps * epochs)


class Pace:
    """Estimates from the finished records below `folders` that this kind of machine made.

    The estimate assumes the same time per trained example, evaluation and loading included, as in the finished runs
    of the task, model and method, or else of the task and model.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        here = hardware()
        self.per_example: dict[tuple[str, ...], list[float]] = defaultdict(list)
        self.whole: dict[tuple[str, ...], list[float]] = defaultdict(list)  # of what trains nothing
        for folder in folders:
            for record in records.read_all(folder)[0].values():
                if record.status != "finished" or any(
                    getattr(record.hardware, name) != getattr(here, name) for name in MACHINE
                ):
                    continue
                names = (record.task, record.model, record.method)
                if trained := (record.train_examples_per_second or 0.0) * (record.train_seconds or 0.0):
                    for key in (names, names[:2]):
                        self.per_example[key].append(_seconds(record) / trained)
                else:
                    self.whole[names].append(_seconds(record))

    def seconds(self, run: Run) -> float | None:
        """An estimate of the time of `run`, unless it stops early; None without finished runs."""
        names = (run.task.name, run.model.slug, run.method.label)
        steps = optimiser_steps(run)
        if not steps:
            return fmean(self.whole[names]) if names in self.whole else None
        rates = self.per_example.get(names) or self.per_example.get(names[:2])
        batch = run.training["per_device_train_batch_size"] * run.training.get("gradient_accumulation_steps", 1)
        return fmean(rates) * steps * batch * run.processes if rates else None


def _seconds(record: records.Record) -> float:
    """From start to finish, at least the time of training: the times in a record are whole seconds."""
    return max((record.finished - record.started).total_seconds(), record.train_seconds or 0.0)
