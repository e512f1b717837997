"""The progress of a grid: bars on a terminal, a few lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ..processes import is_main
from ..records import Record
from ..run import Run
from ..terminal import duration

QUIET_SECONDS = 60.0  # in a log, a long run says how far it is no more often than this


class SilentProgress:
    """Counts without output: for processes of a launch other than the main one.

    Args:
        total: the number of runs to do, by this process or another.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0  # by this process, finished or failed
        self.others = 0  # done, or being done, by other processes
        self.began = self.last_end = time.monotonic()
        self.running: dict[Path, tuple[int, float] | None] = {}  # a run's first step that was shown, and when

    def expect(self, total: int) -> None:
        """The number of runs to do has become another one."""
        self.total = total

    def say(self, line: str) -> None:
        """Shows a line that stays."""

    def started(self, run: Run) -> None:
        """A run begins."""
        self.running[run.record_path] = None

    def step(self, run: Run, step: int, steps: int) -> None:
        """The run has taken `step` of `steps`."""

    def training_rest(self, run: Run, step: int, steps: int) -> str:
        """An estimate for the steps after `step`, from those since the first shown one; empty at that one."""
        now = time.monotonic()
        # An interrupted run continues from its checkpoint, so the first shown step may be any.
        first, then = self.running[run.record_path] = self.running.get(run.record_path) or (step, now)
        return f"about {duration((now - then) / (step - first) * (steps - step))} left" if first < step < steps else ""

    def ended(self, run: Run, result: str) -> None:
        """The run is over; `result` says how."""
        self.running.pop(run.record_path, None)
        self.done += 1
        self.last_end = time.monotonic()
        self.count(f"{run}: {result}")

    def left_out(self, runs: int, why: str) -> None:
        """This process will not do `runs` of its runs."""
        self.others += runs
        self.count(why)

    def count(self, line: str) -> None:
        """Prints `line` between the count of the runs and the estimate for the others."""
        counted = self.done + self.others
        rest = f"; {self.rest}" if self.rest else ""
        self.say(f"[{counted:>{len(str(self.total))}}/{self.total}] {line}{rest}")

    @property
    def rest(self) -> str:
        """An estimate for the remaining runs from those done here; empty without any."""
        left = self.total - self.done - self.others
        return f"about {duration((self.last_end - self.began) / self.done * left)} left" if left and self.done else ""


class LineProgress(SilentProgress):
    """One line when a run ends, and one a minute while it lasts."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self.spoke: dict[Path, float] = {}

    def say(self, line: str) -> None:
        print(line, flush=True)

    def started(self, run: Run) -> None:
        super().started(run)
        self.spoke[run.record_path] = time.monotonic()

    def step(self, run: Run, step: int, steps: int) -> None:
        rest = self.training_rest(run, step, steps)
        now = time.monotonic()
        if now - self.spoke[run.record_path] >= QUIET_SECONDS:
            self.spoke[run.record_path] = now
            self.say(f"        {run}: step {step} of {steps}{rest and f', {rest}'}")


class BarProgress(SilentProgress):
    """The same lines, with a bar for each run and one for the grid below them."""

    def __init__(self, total: int, bars: Progress) -> None:
        super().__init__(total)
        self.bars = bars
        self.run_bars: dict[Path, TaskID] = {}
        self.grid_bar = bars.add_task("", total=total, note="")
        self.show_grid()

    def expect(self, total: int) -> None:
        super().expect(total)
        self.bars.update(self.grid_bar, total=total)
        self.show_grid()

    def say(self, line: str) -> None:
        self.bars.print(line, markup=False, highlight=False)

    def started(self, run: Run) -> None:
        super().started(run)
        self.run_bars[run.record_path] = self.bars.add_task(str(run), total=None, note="")
        self.show_grid()

    def step(self, run: Run, step: int, steps: int) -> None:
        note = self.training_rest(run, step, steps)
        self.bars.update(self.run_bars[run.record_path], completed=step, total=steps, note=note)

    def ended(self, run: Run, result: str) -> None:
        if (bar := self.run_bars.pop(run.record_path, None)) is not None:
            self.bars.remove_task(bar)
        super().ended(run, result)

    def count(self, line: str) -> None:
        super().count(line)
        self.show_grid()

    def show_grid(self) -> None:
        """The numbers of runs that are done, running, at other processes, and to do."""
        parts = [f"{self.done} done", f"{len(self.running)} running"]
        if self.others:
            parts.append(f"{self.others} with others")
        parts.append(f"{self.total - self.done - self.others - len(self.running)} to come")
        self.bars.update(
            self.grid_bar, description=", ".join(parts), completed=self.done + self.others, note=self.rest
        )


@contextmanager
def show_progress(total: int) -> Iterator[SilentProgress]:
    """Bars if a person is watching, else lines."""
    if not is_main():
        yield SilentProgress(total)
        return
    if not sys.stdout.isatty():
        yield LineProgress(total)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, transient=True) as bars:
        yield BarProgress(total, bars)


def outcome(record: Record) -> str:
    """The result of a run, in half a line."""
    if record.pruned:
        return str(record.reason)
    if record.status == "failed":
        return f"failed: {record.reason}"
    scores = f"{record.main_metric} {record.test_score:.4f} (validation {record.validation_score:.4f})"
    return f"{scores}, trained {duration(record.train_seconds or 0.0)}"
