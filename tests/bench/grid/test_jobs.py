"""Several runs at once on one machine: the same scores, each run once, and a dead worker takes one run with it."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from peft_bottleneck_bench import records
from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.grid.attempt import Result
from peft_bottleneck_bench.grid.jobs import Jobs
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.grid.progress import LineProgress
from peft_bottleneck_bench.grid.running import run_grid
from peft_bottleneck_bench.run import Run

Configure = Callable[..., Path]


def test_two_jobs_do_each_run_once_with_the_scores_of_one(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = configure(methods=["houlsby", "head_only", {"method": "houlsby", "label": "nan", "training": LOST}])
    assert main(["run", str(path), "--jobs", "2"]) == 1  # the third fails, in its process
    out = capsys.readouterr().out
    numbers = re.findall(r"^\[(\d)/3\] words · (\w+) ·", out, re.MULTILINE)
    assert sorted(name for _, name in numbers) == ["head_only", "houlsby", "nan"]
    assert not list(tmp_path.rglob("*.lock"))
    serial = run_grid(plan(load_configuration(path, [f"results={tmp_path}/serial", "methods=[houlsby, head_only]"])))
    found = {record.method: record for record in records.read_all(tmp_path / "results")[0].values()}
    assert found["nan"].status == "failed"
    for record in serial.records.values():
        assert found[record.method].metrics == record.metrics
        assert found[record.method].loss_curve == record.loss_curve


LOST = {"learning_rate": 1.0e30}


LONGEST = 900  # seconds for an event that a busy machine delays; without it the test fails


def result_of(engine: Jobs) -> list[tuple[Run, Result]]:
    """What the only worker, or the one in its place, comes to."""
    end = time.monotonic() + LONGEST
    while not (results := list(engine.wait())):
        assert time.monotonic() < end
    return results


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL")
def test_a_worker_that_is_killed_fails_its_run_alone(configure: Configure) -> None:
    first, second = plan(load_configuration(configure(methods=["houlsby", "head_only"])))
    engine = Jobs(1)
    progress = LineProgress(2)
    engine.open(progress)
    for run in (first, second):
        progress.started(run)
    try:
        engine.start(first)
        assert not engine.free
        os.kill(engine.workers[0].process.pid or 0, signal.SIGKILL)
        results = result_of(engine)
        engine.start(second)
        results += result_of(engine)
    finally:
        engine.close()
    (one, killed), (other, finished) = results
    assert one is first
    assert other is second
    assert isinstance(killed, records.Record)
    assert isinstance(finished, records.Record)
    assert killed.reason == "the worker process ended with SIGKILL: the system may have run out of memory"
    assert finished.status == "finished"
