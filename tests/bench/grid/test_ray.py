"""A grid on a Ray cluster of processes: each run once, files come back, and lost nodes and drivers lose nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peft_bottleneck_bench import records
from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.configuration.choices import Resources
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.grid.progress import SilentProgress
from peft_bottleneck_bench.grid.ray_engine import RayEngine, _files_of, _work, execute_run
from peft_bottleneck_bench.grid.running import run_grid
from peft_bottleneck_bench.run import Run

pytest.importorskip("ray")
os.environ["RAY_AUTH_MODE"] = "disabled"
from ray.cluster_utils import Cluster
from ray_work import Traced, short

Configure = Callable[..., Path]
HERE = str(Path(__file__).parent)
BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
pytestmark = pytest.mark.filterwarnings("default")  # Ray's own


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Three nodes with one processor each, as processes of their own; they find the work of these tests."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([HERE, str(BENCHMARKS), os.environ.get("PYTHONPATH", "")]))
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(2):
        found.add_node(num_cpus=1)
    found.wait_for_nodes()
    yield found
    found.shutdown()


class Elsewhere(RayEngine):
    """Nodes that see no folder of the driver."""

    def mark(self, folder: Path) -> None:
        self.marks = [Path("/no/such/folder/mark")]


def runs_of(path: Path, *overrides: str) -> list[Run]:
    return plan(load_configuration(path, overrides))


def test_short_runs_come_back_once_each_and_the_overhead_stays_flat(configure: Configure, cluster: Any) -> None:
    """Sixty runs of milliseconds, on nodes without a shared folder; `test_a_thousand_…` has more."""
    runs = runs_of(configure(methods=["head_only"], seeds=list(range(60))))
    outcome = run_grid(runs, engine=Elsewhere(cluster.address, Resources(cpus=1), short))
    assert len(outcome.records) == 60
    assert {record.reason for record in outcome.records.values()} == {"done"}
    assert not list(runs[0].results.rglob("*.lock"))


class Lines:
    """In the place of the queue to the driver."""

    def put_nowait(self, content: object) -> None:
        pass


def test_a_node_that_lacks_the_initial_adapter_gets_its_files(configure: Configure, tmp_path: Path) -> None:
    (first,) = runs_of(configure(methods=["houlsby"]))
    run_grid([first])
    path = configure(methods=[{"init_adapter": str(first.adapter_path)}], results=str(tmp_path / "continued"))
    (run,) = runs_of(path)
    (here,) = run_grid([run]).records.values()
    assert here.status == "finished", here.reason
    adapter = _files_of(first.adapter_path)
    shutil.rmtree(first.adapter_path)
    run = replace(run, results=tmp_path / "elsewhere")
    marks = ["/no/such/folder/mark"]
    there, files = _work(execute_run, run, run.data, {}, adapter, marks, Resources(cpus=1), Lines())  # type: ignore[arg-type]
    assert isinstance(there, records.Record)
    assert there.status == "finished", there.reason
    assert (there.run, there.metrics, there.loss_curve) == (here.run, here.metrics, here.loss_curve)
    assert any(place.startswith("adapters/") for place in files)


def test_what_does_not_go_together_is_one_line(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(configure(methods=["head_only"]))
    assert main(["run", path, "--ray-address", "auto"]) == 2
    assert main(["run", path, "--engine", "ray", "--jobs", "2"]) == 2
    assert main(["run", path, "--engine", "ray", "resources={cpus: none}"]) == 2
    first, second, third = capsys.readouterr().err.splitlines()
    assert first == "error: --ray-address: it goes with --engine ray"
    assert second == "error: --jobs: on a cluster, `resources` says how many runs go at once"
    assert third.endswith("resources.cpus: expected a number from 0 to 10,000, found 'none'")


def test_a_run_that_no_node_can_take_is_refused_or_said(configure: Configure, cluster: Any) -> None:
    """A cluster elsewhere may start a node when it is asked for; this machine has no more than it has."""
    path = configure(methods=["untuned"], resources={"cpus": 5000})
    lines: list[str] = []
    progress = SilentProgress(1)
    progress.say = lines.append  # type: ignore[method-assign]
    engine = RayEngine(cluster.address, load_configuration(path).resources)
    engine.open(progress)
    engine.close()
    found = "resources: no node has 5000 CPUs for a run: there are 1 CPUs, 0 GPUs; 1 CPUs, 0 GPUs; 1 CPUs, 0 GPUs"
    assert lines == [f"{found}; the runs wait for one"]


@pytest.mark.slow
def test_this_machine_refuses_what_it_cannot_hold(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(configure(methods=["untuned"], resources={"cpus": 1, "gpus": 64}))
    assert main(["run", path, "--engine", "ray"]) == 2
    assert "error: resources: no node has 1 CPUs, 64 GPUs for a run: there are " in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_of_a_task_train_a_run_together(configure: Configure, cluster: Any, tmp_path: Path) -> None:
    """On nodes without a shared folder: the files come back, and a second start repeats nothing."""
    training = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 0.01}
    path = configure(methods=["houlsby"], seeds=[0, 1], training=training, resources={"cpus": 1, "processes": 2})
    runs = runs_of(path)
    outcome = run_grid(runs, engine=Elsewhere(cluster.address, load_configuration(path).resources))
    assert [record.status for record in outcome.records.values()] == ["finished"] * 2
    assert {record.configuration["processes"] for record in outcome.records.values()} == {2}
    assert outcome.records.keys() == {run.record_path for run in runs}
    assert len(list((tmp_path / "results-adapters").rglob("run.json"))) == 2
    again = run_grid(runs, engine=Elsewhere(cluster.address, load_configuration(path).resources, short))
    assert again.records == outcome.records


@pytest.mark.slow
def test_twelve_runs_are_done_once_with_the_scores_of_one_machine(
    configure: Configure, cluster: Any, tmp_path: Path
) -> None:
    path = configure(methods=["houlsby", "lora", "head_only"], seeds=[0, 1, 2, 3])
    (tmp_path / "trace").mkdir()
    work = Traced(tmp_path / "trace")
    outcome = run_grid(runs_of(path), engine=Elsewhere(cluster.address, Resources(cpus=1), work))
    assert outcome.failed == 0
    began = Counter(trace.name.partition(".")[0] for trace in (tmp_path / "trace").iterdir())
    assert sorted(began.values()) == [1] * 12
    alone = run_grid(runs_of(path, f"results={tmp_path}/alone"))
    by_run = {record.run: record for record in alone.records.values()}
    for place, record in outcome.records.items():
        assert record.metrics == by_run[record.run].metrics
        assert record.loss_curve == by_run[record.run].loss_curve
        assert place.with_name(str(record.predictions)).is_file()
    saved = list((tmp_path / "results-adapters").rglob("run.json"))
    assert len(saved) == 12
    assert main(["predict", str(saved[0].parent), "a good day"]) == 0


@pytest.mark.slow
def test_a_node_that_is_lost_is_worked_around(configure: Configure, cluster: Any, tmp_path: Path) -> None:
    runs = runs_of(configure(methods=["head_only"], seeds=list(range(6))))
    (tmp_path / "trace").mkdir()
    node = next(iter(cluster.worker_nodes))

    def lose() -> None:
        while len(list((tmp_path / "trace").iterdir())) < 2:
            time.sleep(0.1)
        cluster.remove_node(node, allow_graceful=False)

    threading.Thread(target=lose, daemon=True).start()
    outcome = run_grid(runs, engine=RayEngine(cluster.address, Resources(cpus=1), Traced(tmp_path / "trace", 2.0)))
    assert [record.status for record in outcome.records.values()] == ["finished"] * 6
    assert outcome.failed == 0


@pytest.mark.slow
def test_a_driver_that_is_killed_goes_on_where_it_was(configure: Configure, cluster: Any, tmp_path: Path) -> None:
    path = configure(methods=["head_only"], seeds=list(range(8)))
    command = [sys.executable, "-m", "peft_bottleneck_bench.cli", "run", str(path), "--engine", "ray"]
    driver = subprocess.Popen([*command, "--ray-address", cluster.address], stdout=subprocess.DEVNULL)
    results = tmp_path / "results"
    deadline = time.monotonic() + 300
    while len(list(results.rglob("*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    kept = {place: place.stat().st_mtime_ns for place in results.rglob("*.json")}
    assert 2 <= len(kept) < 8
    again = subprocess.run([*command, "--ray-address", cluster.address], capture_output=True, text=True, timeout=400)
    assert again.returncode == 0, again.stderr
    assert f"{len(kept)} of 8 runs are finished already" in again.stdout
    assert {place: place.stat().st_mtime_ns for place in kept} == kept
    assert len(records.read_all(results)[0]) == 8


@pytest.mark.slow
def test_ctrl_c_cancels_and_leaves_nothing_running(configure: Configure, cluster: Any, tmp_path: Path) -> None:
    path = configure(methods=["head_only"], seeds=list(range(50)))
    command = [sys.executable, "-m", "peft_bottleneck_bench.cli", "run", str(path), "--engine", "ray"]
    driver = subprocess.Popen([*command, "--ray-address", cluster.address], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not list((tmp_path / "results").rglob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    driver.send_signal(signal.SIGINT)
    _, err = driver.communicate(timeout=100)
    assert driver.returncode == 130
    assert "interrupted: what is finished stays" in err
    found = len(list((tmp_path / "results").rglob("*.json")))
    time.sleep(5)
    assert len(list((tmp_path / "results").rglob("*.json"))) == found


@pytest.mark.slow
def test_a_thousand_short_runs(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the benchmark measures them, which can record what it finds."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from ray_overhead import measure, runs_in

    found = measure(cluster.address, runs_in(str(tmp_path), 1060), 60)
    with capsys.disabled():
        print("\n", {part: f"{seconds * 1000:.1f} ms a run" for part, seconds in found.items()})
    assert found["last"] < 2 * found["first"]
