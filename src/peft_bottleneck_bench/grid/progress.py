"""Where a grid stands: bars on a terminal, a few lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..processes import is_main
from ..records import Record
from ..run import Run
from ..terminal import duration
from .claims import Holder

QUIET_SECONDS = 60.0  # in a log, a long run says where it stands no more often than this


class SilentProgress:
    """Counts and says nothing: for the processes of a launch that leave the terminal to the main one.

    Args:
        total: how many runs there are to do, by this process or another.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0  # by this process, finished or failed
        self.others = 0  # done, or being done, by other processes
        self.began = time.monotonic()
        self.run: Run | None = None
        self.run_began = self.began
        self.first_step: tuple[int, float] | None = None  # a run that was cut off goes on from where it was

    def say(self, line: str) -> None:
        """Shows a line that stays."""

    def started(self, run: Run) -> None:
        """A run begins."""
        self.run = run
        self.run_began = time.monotonic()
        self.first_step = None

    def step(self, step: int, steps: int) -> None:
        """The run has taken `step` of `steps`."""

    def training_rest(self, step: int, steps: int) -> str:
        """How long the steps after `step` may take, by those since the first that was told; empty at the first."""
        now = time.monotonic()
        first, then = self.first_step = self.first_step or (step, now)
        return f"about {duration((now - then) / (step - first) * (steps - step))} left" if first < step < steps else ""

    def ended(self, run: Run, record: Record) -> None:
        """The run left `record`."""
        self.run = None
        self.done += 1
        self.count(f"{run}: {outcome(record)}")

    def elsewhere(self, run: Run, record: Record) -> None:
        """Another process did the run while this one did others."""
        self.left_out(1, f"{run}: {outcome(record)} (by another process)")

    def claimed(self, run: Run, holder: Holder) -> None:
        """Another process is at the run."""
        self.left_out(1, f"{run}: left to {holder}")

    def left_out(self, runs: int, why: str) -> None:
        """This process will not do `runs` of its runs."""
        self.others += runs
        self.count(why)

    def count(self, line: str) -> None:
        """Says `line` after how many runs are counted, and before how long the others may take."""
        counted = self.done + self.others
        rest = f"; {self.rest}" if self.rest else ""
        self.say(f"[{counted:>{len(str(self.total))}}/{self.total}] {line}{rest}")

    @property
    def rest(self) -> str:
        """How long the runs that are left may take, by those done here; empty where there is nothing to tell."""
        left = self.total - self.done - self.others
        spent = (self.run_began if self.run else time.monotonic()) - self.began
        return f"about {duration(spent / self.done * left)} left" if left and self.done else ""


class LineProgress(SilentProgress):
    """One line when a run ends, and one a minute while it lasts."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self.spoke = self.began

    def say(self, line: str) -> None:
        print(line, flush=True)

    def started(self, run: Run) -> None:
        super().started(run)
        self.spoke = self.run_began

    def step(self, step: int, steps: int) -> None:
        rest = self.training_rest(step, steps)
        now = time.monotonic()
        if now - self.spoke >= QUIET_SECONDS:
            self.spoke = now
            self.say(f"        {self.run}: step {step} of {steps}{rest and f', {rest}'}")


class BarProgress(SilentProgress):
    """The same lines, with a bar for the run and one for the grid below them."""

    def __init__(self, total: int, bars: Progress) -> None:
        super().__init__(total)
        self.bars = bars
        self.run_bar = bars.add_task("", total=None, visible=False, note="")
        self.grid_bar = bars.add_task("", total=total, note="")
        self.show_grid()

    def say(self, line: str) -> None:
        self.bars.print(line, markup=False, highlight=False)

    def started(self, run: Run) -> None:
        super().started(run)
        self.bars.reset(self.run_bar, description=str(run), total=None, visible=True, note="")
        self.show_grid()

    def step(self, step: int, steps: int) -> None:
        self.bars.update(self.run_bar, completed=step, total=steps, note=self.training_rest(step, steps))

    def count(self, line: str) -> None:
        super().count(line)
        self.bars.update(self.run_bar, visible=self.run is not None)
        self.show_grid()

    def show_grid(self) -> None:
        """Done, running, left to others, and left to do."""
        running = int(self.run is not None)
        parts = [f"{self.done} done", f"{running} running"]
        if self.others:
            parts.append(f"{self.others} with others")
        parts.append(f"{self.total - self.done - self.others - running} to come")
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
    """What came of a run, in half a line."""
    if record.status == "failed":
        return f"failed: {record.reason}"
    scores = f"{record.main_metric} {record.test_score:.4f} (validation {record.validation_score:.4f})"
    return f"{scores}, trained {duration(record.train_seconds or 0.0)}"
