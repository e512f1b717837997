"""What nodes do in the tests of the cluster: work that leaves a trace, or takes no time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from peft_bottleneck_bench.grid.attempt import Attempt, Result, record_failure
from peft_bottleneck_bench.run import Run


def short(run: Run, on_step: Callable[[int, int], None], say: Callable[[str], object]) -> Result:
    """A record of milliseconds."""
    on_step(1, 1)
    return record_failure(run, "done")


class Traced:
    """The run itself, and a file that says that it began, in which process and when."""

    def __init__(self, folder: Path, seconds: float = 0.0) -> None:
        self.folder = folder
        self.seconds = seconds

    def __call__(self, run: Run, on_step: Callable[[int, int], None], say: Callable[[str], object]) -> Result:
        (self.folder / f"{run.record_path.stem}.{os.getpid()}").touch()
        time.sleep(self.seconds)
        return Attempt(say)(run, on_step)


class Sleeping:
    """Work that does not end by itself, and a file that says that it began, in which process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, run: Run, on_step: Callable[[int, int], None], say: Callable[[str], object]) -> Result:
        (self.folder / str(os.getpid())).touch()
        while True:
            time.sleep(60)


def vanishing(run: Run, on_step: Callable[[int, int], None], say: Callable[[str], object]) -> Result:
    """Ends its process, as a crash of a library does."""
    os._exit(3)
