"""Where a grid stands: bars on a terminal, a few lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .plan import Run
from .records import Record

LOG_WIDTH = 140  # columns of a table where there is no terminal to ask
QUIET_SECONDS = 60.0  # in a log, a long run says where it stands no more often than this


class LineProgress:
    """One line when a run ends, and one a minute while it lasts."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.began = time.monotonic()
        self.run: Run | None = None
        self.spoke = self.began

    def say(self, line: str) -> None:
        """Prints a line that stays."""
        print(line, flush=True)

    def started(self, run: Run) -> None:
        """A run begins."""
        self.run = run
        self.spoke = time.monotonic()

    def step(self, step: int, steps: int) -> None:
        """The run has taken `step` of `steps`."""
        now = time.monotonic()
        if now - self.spoke >= QUIET_SECONDS:
            self.spoke = now
            self.say(f"        {self.run}: step {step} of {steps}")

    def ended(self, run: Run, record: Record) -> None:
        """The run left `record`."""
        self.done += 1
        left = self.total - self.done
        spent = time.monotonic() - self.began
        rest = f"; {duration(spent / self.done * left)} left" if left else ""
        self.say(f"[{self.done:>{len(str(self.total))}}/{self.total}] {run}: {outcome(record)}{rest}")


class BarProgress(LineProgress):
    """The same lines, with a bar for the run and one for the grid below them."""

    def __init__(self, total: int, bars: Progress) -> None:
        super().__init__(total)
        self.bars = bars
        self.grid_bar = bars.add_task("runs", total=total)
        self.run_bar = bars.add_task("", total=None, visible=False)

    def say(self, line: str) -> None:
        self.bars.print(line, markup=False, highlight=False)

    def started(self, run: Run) -> None:
        super().started(run)
        self.bars.reset(self.run_bar, description=str(run), total=None, visible=True)

    def step(self, step: int, steps: int) -> None:
        self.bars.update(self.run_bar, completed=step, total=steps)

    def ended(self, run: Run, record: Record) -> None:
        super().ended(run, record)
        self.bars.update(self.grid_bar, completed=self.done)


@contextmanager
def show_progress(total: int) -> Iterator[LineProgress]:
    """Bars if a person is watching, else lines."""
    if not sys.stdout.isatty():
        yield LineProgress(total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, transient=True) as bars:
        yield BarProgress(total, bars)


def print_wide(content: RenderableType) -> None:
    """Prints a table at the terminal's width; in a log, where there is none, as wide as it needs to be."""
    Console(width=None if sys.stdout.isatty() else LOG_WIDTH, soft_wrap=False).print(content)


def outcome(record: Record) -> str:
    """What came of a run, in half a line."""
    if record["status"] == "failed":
        return f"failed: {record['reason']}"
    metric = record["main_metric"]
    test, validation = record["metrics"]["test"][metric], record["metrics"]["validation"][metric]
    return f"{metric} {test:.4f} (validation {validation:.4f}), trained {duration(record['train_seconds'])}"


def duration(seconds: float) -> str:
    """For people: `8.1 s`, `12 min`, `3 h 20 min`."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
