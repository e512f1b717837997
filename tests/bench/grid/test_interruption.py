"""Ctrl-C and SIGTERM end a grid at any moment, with their message and exit code, and lose nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from peft_bottleneck_bench import interruption, records
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.grid.running import run_grid

Configure = Callable[..., Path]
MESSAGE = "interrupted: what is finished stays; the same command goes on from there\n"


class Swallower:
    """A destructor during which the signal comes: Python prints the exception and goes on."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(500):  # another thread may get the signal first
            time.sleep(0.01)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_a_destructor_swallows_is_seen_by_the_next_check(number: signal.Signals) -> None:
    with interruption.interruptible():
        interruption.check()
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        except KeyboardInterrupt:
            pass  # as a destructor or a callback does
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
    with interruption.interruptible():
        interruption.check()  # the next command starts anew


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_grid_ends_at_its_next_step_if_a_destructor_swallowed_the_signal(configure: Configure) -> None:
    runs = plan(load_configuration(configure(methods=["houlsby", "head_only"])))
    with interruption.interruptible():
        swallower = Swallower()
        del swallower
        with pytest.raises(KeyboardInterrupt):
            run_grid(runs)
    assert not any(run.record_path.exists() for run in runs)


def test_an_error_that_a_library_made_of_the_signal_is_not_recorded(configure: Configure) -> None:
    """A data loader reports a dead worker, say, when the terminal has sent the signal to all processes."""
    (run,) = plan(load_configuration(configure(methods=["head_only"])))

    def broken(*_: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
        except KeyboardInterrupt as error:
            raise RuntimeError("a worker exited unexpectedly") from error

    from peft_bottleneck_bench.grid.attempt import Attempt

    with interruption.interruptible(), pytest.raises(KeyboardInterrupt):
        Attempt(lambda line: None)(run, broken)
    assert not run.record_path.exists()


def end_after(path: Path, seconds: float, number: signal.Signals, *options: str) -> subprocess.CompletedProcess[str]:
    """The command, which gets the signal `seconds` after it began to run."""
    for lock in path.parent.rglob("*.lock"):  # of an earlier start: its end says nothing of this one
        lock.unlink()
    process = subprocess.Popen(
        [sys.executable, "-m", "peft_bottleneck_bench.cli", "run", str(path), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "MARK": str(path)},
    )
    deadline = time.monotonic() + 120
    while not list(path.parent.rglob("*.lock")) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(seconds)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def check_ended(path: Path, seconds: float, number: signal.Signals, *options: str) -> None:
    ended = end_after(path, seconds, number, *options)
    assert ended.returncode == 130, (seconds, ended.stderr)
    assert ended.stderr.endswith(MESSAGE)
    assert "Traceback" not in ended.stderr
    found, warnings = records.read_all(path.parent / "results")
    assert warnings == []
    assert {record.status for record in found.values()} <= {"finished"}


@pytest.mark.parametrize(("number", "seconds"), [(signal.SIGINT, 0.0), (signal.SIGTERM, 1.0)])
def test_a_signal_ends_the_command_with_its_message(
    configure: Configure, number: signal.Signals, seconds: float
) -> None:
    check_ended(configure(methods=["head_only"], seeds=list(range(200))), seconds, number)


def test_a_signal_ends_all_jobs(configure: Configure) -> None:
    path = configure(methods=["head_only"], seeds=list(range(200)))
    check_ended(path, 3.0, signal.SIGTERM, "--jobs", "2")
    deadline = time.monotonic() + 30
    while left_of(path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left_of(path) == []


def left_of(path: Path) -> list[int]:
    """The processes that the command started, and their own, which all have the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("MARK") == str(path):
                found.append(process.pid)
    return found


@pytest.mark.slow
def test_signals_at_many_moments(configure: Configure) -> None:
    path = configure(methods=["head_only"], seeds=list(range(1000)))
    for moment in range(24):
        check_ended(path, moment * 0.13, (signal.SIGINT, signal.SIGTERM)[moment % 2])
