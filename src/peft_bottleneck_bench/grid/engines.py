"""Where the runs of a grid are executed: here one after the other, or several at once elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ..run import Run
from .attempt import Attempt, Result
from .progress import SilentProgress


class Engine(Protocol):
    """Executes runs; `run_grid` gives it as many as it takes at once."""

    launches: bool  # whether it starts the processes of a run that several train together

    def open(self, progress: SilentProgress) -> None:
        """Gets ready, before anything else is called; `progress` shows steps and lines."""

    @property
    def free(self) -> bool:
        """Whether it takes another run now."""

    def start(self, run: Run) -> None:
        """Begins with `run`."""

    def wait(self) -> Iterable[tuple[Run, Result]]:
        """Returns the runs that have ended since the last call; waits a moment if there are none."""

    def close(self) -> None:
        """Ends everything that still runs."""


class Serial:
    """This process, one run after the other; all processes of a launch together."""

    launches = False

    def open(self, progress: SilentProgress) -> None:
        self.progress = progress
        self.attempt = Attempt(progress.say)
        self.ended: list[tuple[Run, Result]] = []

    @property
    def free(self) -> bool:
        return not self.ended

    def start(self, run: Run) -> None:
        self.ended.append((run, self.attempt(run, lambda step, steps: self.progress.step(run, step, steps))))

    def wait(self) -> Iterable[tuple[Run, Result]]:
        ended, self.ended = self.ended, []
        return ended

    def close(self) -> None:
        pass
