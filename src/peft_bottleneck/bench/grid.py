"""All runs of a configuration, one after the other; what is finished is not run again."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import records
from .features import Split, make_features
from .kinds import Setting
from .plan import Run
from .progress import show_progress
from .run import execute, failed


@dataclass
class Outcome:
    """What a grid left: the records of all its runs by path, those of earlier starts included."""

    records: dict[Path, records.Record] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return sum(record["status"] == "failed" for record in self.records.values())


def run_grid(runs: Sequence[Run]) -> Outcome:
    """Executes every run that has no finished record yet.

    A run that raises is recorded as failed with its reason, and the next one starts; a failed run is tried again when
    the grid is started again. `KeyboardInterrupt` ends the grid; what is finished stays.
    """
    outcome = Outcome({run.record_path: record for run in runs if (record := finished_record(run))})
    skipped = len(outcome.records)
    left = [run for run in runs if run.record_path not in outcome.records]
    with show_progress(len(left)) as progress:
        features = _Features(progress.say)
        if skipped:
            progress.say(f"{skipped} of {len(runs)} runs are finished already and are skipped")
        for run in left:
            progress.started(run)
            try:
                record = execute(run, features.of(run), progress.step)
            except Exception as error:  # whatever it is, it is the reason in the record, and the other runs go on
                record = failed(run, _reason(error))
            gc.collect()  # the model and its trainer refer to each other: free them before the next ones are made
            outcome.records[run.record_path] = record
            progress.ended(run, record)
    return outcome


class _Features:
    """The features of the latest task and setting: a grid asks for them in blocks."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.key: tuple[str, Setting] | None = None
        self.features: Mapping[str, Split] = {}

    def of(self, run: Run) -> Mapping[str, Split]:
        key = (run.task.name, run.setting)
        if key != self.key:
            self.features = make_features(run)
            self.key = key
            for split, made in self.features.items():
                if made.encoded.cut:
                    self.say(
                        f"{run.task.name}: {made.encoded.cut} of {len(run.data.splits[split])} {split} examples are "
                        f"longer than {run.setting.max_length} tokens and are cut"
                    )
        return self.features


def finished_record(run: Run) -> records.Record | None:
    """The run's record from an earlier start, if there is a whole one and it says finished."""
    try:
        record = records.read(run.record_path)
    except (OSError, ValueError):
        return None
    return record if record["status"] == "finished" else None


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
