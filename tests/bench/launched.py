"""Runs the command on several configuration files, one after the other: a launch costs seconds.

`launched.py FILE…`; with `--fail-alone` before them the second process fails, and it alone, in the third step.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import conftest  # noqa: F401  offline, one thread

from peft_bottleneck_bench import processes
from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.training.execute import execute
from peft_bottleneck_bench.training.features import make_features


def fail_alone(step: int, steps: int) -> None:
    if step == 3 and processes.number() == 1:
        raise MemoryError("this device is full")


if sys.argv[1] == "--fail-alone":
    processes.GRACE_SECONDS = 3.0
    (run,) = plan(load_configuration(Path(sys.argv[2]), ()))
    execute(run, make_features(run), fail_alone)
else:
    for file in sys.argv[1:]:
        print(f"exit code {main(['run', file])}", flush=True)
