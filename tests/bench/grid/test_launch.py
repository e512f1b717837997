"""A run that several processes train together, started from within one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray_work import vanishing
from tiny_task import make_tokenizer, save_model

from peft_bottleneck_bench import records
from peft_bottleneck_bench.configuration.choices import Resources
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.grid.jobs import Jobs
from peft_bottleneck_bench.grid.launch import Launched
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.grid.ray_engine import execute_run
from peft_bottleneck_bench.grid.running import run_grid
from peft_bottleneck_bench.run import Run

Configure = Callable[..., Path]
HERE = str(Path(__file__).parent)
LONGEST = 600  # seconds for an event that a busy machine delays; without it the test fails


@pytest.fixture(autouse=True)
def found_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes find the work of these tests, and no hub."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([HERE, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")


@pytest.fixture
def still(tmp_path: Path) -> Path:
    """A model without dropout, whose masks each process would draw for its own part of a batch."""
    sizes = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, max_position_embeddings=64)
    return save_model("bert", tmp_path / "still", make_tokenizer(), **sizes)


def run_of(path: Path, *overrides: str) -> Run:
    (run,) = plan(load_configuration(path, overrides))
    return run


def together(configure: Configure, **changes: Any) -> Run:
    training = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 0.01}
    return run_of(
        configure(**{"methods": ["houlsby"], "training": training, "resources": {"processes": 2}, **changes})
    )


def test_two_processes_train_as_one(configure: Configure, still: Path, tmp_path: Path) -> None:
    run = together(configure, model=str(still))
    steps: list[tuple[int, int]] = []
    lines: list[str] = []
    work = Launched(execute_run, 1, gpus=False)
    result = work(run, lambda step, total: steps.append((step, total)), lines.append)
    assert isinstance(result, records.Record)
    assert result.status == "finished", result.reason
    assert result == records.read(run.record_path)
    assert (result.run, result.configuration["processes"]) == (run.hash, 2)
    assert steps == [(step, 8) for step in range(1, 9)]
    alone = run_of(
        tmp_path / "run.yaml", "resources=null", "training.per_device_train_batch_size=16", f"results={tmp_path}/alone"
    )
    (one,) = run_grid([alone]).records.values()
    assert result.metrics.test == pytest.approx(one.metrics.test, abs=1e-4)
    assert [loss for _, loss in result.loss_curve] == pytest.approx([loss for _, loss in one.loss_curve], abs=1e-4)
    assert alone.hash != run.hash
    assert (run.adapter_path / "run.json").is_file()


@pytest.mark.slow
def test_a_run_that_fails_in_both_processes_says_why(configure: Configure) -> None:
    training = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 1e30}
    result = Launched(execute_run, 1, gpus=False)(together(configure, training=training), print, print)
    assert isinstance(result, records.Record)
    assert "the training loss is nan" in str(result.reason)


@pytest.mark.slow
def test_a_launch_that_ends_is_a_failed_record(configure: Configure) -> None:
    run = together(configure)
    result = Launched(vanishing, 1, gpus=False)(run, print, print)
    assert isinstance(result, records.Record)
    assert str(result.reason).startswith("the launch of 2 processes ended with exit code 1: ")
    assert records.read(run.record_path) == result


@pytest.mark.slow
def test_the_processes_end_with_the_one_that_started_them(configure: Configure, tmp_path: Path) -> None:
    """As when a cluster cancels a task: its worker is killed, and has no time to say so."""
    together(configure)
    begun = tmp_path / "begun"
    begun.mkdir()
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path / "run.yaml"), str(begun)])
    family: list[psutil.Process] = []
    try:
        until(lambda: len(list(begun.iterdir())) == 2, parent)
        family = psutil.Process(parent.pid).children(recursive=True)
        workers = {int(path.name) for path in begun.iterdir()}
        assert len(workers) == 2
        assert workers < {process.pid for process in family}  # the launcher is the third
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        _, alive = psutil.wait_procs(family, timeout=LONGEST)
        assert alive == []
    finally:
        parent.kill()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def until(event: Callable[[], bool], parent: subprocess.Popen[bytes]) -> None:
    """Waits for `event`, as long as the process that brings it about lives."""
    end = time.monotonic() + LONGEST
    while not event():
        assert parent.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)


PARENT = """\
from pathlib import Path
import sys
from ray_work import Sleeping
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.grid.launch import Launched
from peft_bottleneck_bench.grid.plan import plan
(run,) = plan(load_configuration(Path(sys.argv[1])))
Launched(Sleeping(Path(sys.argv[2])), 1, gpus=False)(run, print, print)
"""


def test_engines_that_start_no_processes_refuse_such_runs(configure: Configure) -> None:
    run = together(configure)
    for engine in (None, Jobs(2)):
        with pytest.raises(UserError, match=r"resources.processes: 2: a cluster starts them \(--engine ray\)"):
            run_grid([run], engine=engine)


@pytest.mark.parametrize(
    ("content", "resources"),
    [
        ({}, Resources(1, 0, 1)),
        ({"gpus": 0.25}, Resources(1, 0.25, 1)),
        ({"gpus": 4}, Resources(4, 4, 4)),
        ({"cpus": 8, "gpus": 4}, Resources(8, 4, 4)),
        ({"processes": 2}, Resources(2, 0, 2)),
        ({"gpus": 2, "processes": 1}, Resources(1, 2, 1)),
    ],
)
def test_as_many_processes_as_gpus(configure: Configure, content: dict[str, float], resources: Resources) -> None:
    assert load_configuration(configure(resources=content)).resources == resources


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"gpus": 1.5}, "resources.gpus: 1.5: only a share of a single one can be a fraction"),
        ({"cpus": 2.5}, "resources.cpus: 2.5: only a share of a single one can be a fraction"),
        ({"processes": 0}, "resources.processes: 0 is not from 1 to 64"),
        ({"processes": 1.0}, "resources.processes: expected a whole number, found 1.0"),
        ({"processes": 2, "gpus": 1}, "resources: 2 processes and 1 GPUs: each process has a GPU of its own"),
        ({"processes": 2, "gpus": 0.5}, "resources: 2 processes and 0.5 GPUs: each process has a GPU of its own"),
        ({"proceses": 2}, "unknown key 'resources.proceses': did you mean 'resources.processes'?"),
    ],
)
def test_resources_that_no_cluster_gives_are_refused(
    configure: Configure, content: dict[str, float], message: str
) -> None:
    with pytest.raises(UserError) as error:
        load_configuration(configure(resources=content))
    assert error.value.messages[0].endswith(message)
