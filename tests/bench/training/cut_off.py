"""Starts the run of each configuration file given, in a process of its own that is killed in the run's 11th step."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import conftest  # noqa: F401  offline, one thread

from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.training.execute import execute
from peft_bottleneck_bench.training.features import make_features


def kill(step: int, steps: int) -> None:
    if step == 11:
        os.kill(os.getpid(), signal.SIGKILL)


for file in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        (run,) = plan(load_configuration(Path(file), ()))
        execute(run, make_features(run), kill)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
