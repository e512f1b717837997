"""All runs of a configuration, one after the other; what is finished, or another process is at, is not run again."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import torch

from .. import records
from ..kinds import Setting
from ..processes import is_main, on_main
from ..run import Run
from ..training.execute import execute, failed
from ..training.features import Split, make_features
from .claims import Holder, claim
from .progress import SilentProgress, show_progress
from .search import Search, unsearched


@dataclass
class Outcome:
    """What a grid left: the records of all its runs by path, those of earlier starts and other processes included.

    Args:
        hopeless: searches that no trial of finished, and that therefore have no final runs.
    """

    records: dict[Path, records.Record] = field(default_factory=dict)
    hopeless: list[Search] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """How much of what was asked for could not be had. A trial that failed is an answer; it is not counted."""
        return len(self.hopeless) + [record.status for record in self.records.values()].count("failed")


def run_grid(runs: Sequence[Run], searches: Sequence[Search] = ()) -> Outcome:
    """Executes every run, every trial and then every final run of a search that has no finished record yet.

    A run that raises is recorded as failed with its reason, and the next one starts; a failed run is tried again when
    the grid is started again, a failed trial is not. A run that another process has claimed is left to it.
    `KeyboardInterrupt` ends the grid; what is finished stays.
    """
    outcome = Outcome()
    trials = [trial for search in searches for trial in search.trials]
    total = len(runs) + len(trials) + sum(len(search.seeds) for search in searches)
    earlier = on_main(lambda: _records([*runs, *trials, *_decided(searches)]))
    answers = {trial.record_path for trial in trials}
    settled = {path for path, record in earlier.items() if path in answers or record.status == "finished"}
    with show_progress(total - len(settled)) as progress:
        worker = _Worker(progress, earlier)
        if settled:
            progress.say(f"{len(settled)} of {total} runs are finished already and are skipped")
        for line in unsearched(runs) if searches else ():
            progress.say(line)
        for run in (*runs, *trials):
            if run.record_path not in settled:
                worker.take(run)
        for search in searches:
            waiting, winner = on_main(search.standing)
            for run in search.finals(winner):
                if run.record_path not in settled:
                    worker.take(run)
            if waiting:
                progress.left_out(len(search.seeds), f"{search}: waits for {waiting} trials of other processes")
            elif winner is None:
                progress.left_out(len(search.seeds), f"{search}: no trial finished: there is nothing to choose from")
                outcome.hopeless.append(search)
    outcome.records = on_main(lambda: known_records(runs, searches))
    return outcome


def known_records(runs: Sequence[Run], searches: Sequence[Search] = ()) -> dict[Path, records.Record]:
    """The records that there are of `runs` and of the final runs of `searches`, whoever made them."""
    return _records([*runs, *_decided(searches)])


def _decided(searches: Sequence[Search]) -> list[Run]:
    return [final for search in searches for final in search.finals(search.standing()[1])]


def _records(runs: Sequence[Run]) -> dict[Path, records.Record]:
    return {run.record_path: record for run in runs if (record := records.read_if_there(run.record_path))}


class _Worker:
    """Does the runs that are free.

    Args:
        earlier: the records that stood there when the grid was started.
    """

    def __init__(self, progress: SilentProgress, earlier: Mapping[Path, records.Record]) -> None:
        self.progress = progress
        self.earlier = earlier
        self.features = _Features(progress.say)

    def take(self, run: Run) -> None:
        """Executes `run` unless it has been, or is being, executed."""
        with ExitStack() as claims:
            found = on_main(lambda: self.look(run, claims))
            if isinstance(found, Holder):
                self.progress.claimed(run, found)
            elif found is not None:
                self.progress.elsewhere(run, found)
            else:
                self.progress.started(run)
                self.progress.ended(run, self.execute(run))

    def look(self, run: Run, claims: ExitStack) -> Holder | records.Record | None:
        """Who has claimed `run`, or the record that another process has left meanwhile; None if it is ours now."""
        holder = claims.enter_context(claim(run.record_path))
        record = records.read_if_there(run.record_path)
        if record != self.earlier.get(run.record_path):
            return record
        return holder

    def execute(self, run: Run) -> records.Record:
        try:
            record = execute(run, self.features.of(run), self.progress.step)
        except Exception as error:  # whatever it is, it is the reason in the record, and the other runs go on
            record = failed(run, _reason(error))
        if run.trial and is_main():
            shutil.rmtree(run.adapter_path, ignore_errors=True)  # the settings were what was searched for
        gc.collect()  # the model and its trainer refer to each other: free them before the next ones are made
        return record


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
                if made.encoded.cut_targets:
                    self.say(
                        f"{run.task.name}: {made.encoded.cut_targets} of {len(run.data.splits[split])} {split} "
                        "targets are longer than training.generation_max_length, "
                        f"{run.setting.generation['max_new_tokens']}, and are cut"
                    )
        return self.features


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    # On a CPU, PyTorch raises a plain RuntimeError.
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in reason:
        reason = f"out of memory: try a smaller training.per_device_train_batch_size or max_length ({reason})"
    return reason
