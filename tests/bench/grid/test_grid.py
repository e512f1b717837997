"""A grid: what is finished is skipped, what fails is recorded, what is killed is lost alone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from peft_bottleneck_bench import records
from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.grid.claims import claim
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.grid.running import run_grid
from peft_bottleneck_bench.run import Run

Configure = Callable[..., Path]


def runs_of(path: Path, *overrides: str) -> list[Run]:
    return plan(load_configuration(path, overrides))


def files_below(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_second_start_skips_what_is_finished(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = configure(methods=["head_only", "lora"])
    first = run_grid(runs_of(path))
    assert [record.method for record in first.records.values()] == ["head_only", "lora"]
    before = files_below(tmp_path)
    capsys.readouterr()
    second = run_grid(runs_of(path))
    assert second.records == first.records
    assert files_below(tmp_path) == before
    assert capsys.readouterr().out == "2 of 2 runs are finished already and are skipped\n"


def test_only_what_is_missing_is_run(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    path = configure(methods=["head_only"], seeds=[0, 1, 2])
    runs = runs_of(path)
    run_grid(runs[:1])
    runs[1].record_path.write_text('{"schema_version": 1, "stat')  # not a record: as good as none
    capsys.readouterr()
    outcome = run_grid(runs)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 of 3 runs are finished already and are skipped"
    assert [line.split(":")[0] for line in lines[1:]] == [
        "[1/2] words · head_only · tiny_bert · seed 1",
        "[2/2] words · head_only · tiny_bert · seed 2",
    ]
    assert len(outcome.records) == 3
    assert outcome.failed == 0


def test_a_failed_run_is_recorded_and_the_grid_goes_on(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = configure(methods=["houlsby", "head_only"])
    ruined = runs_of(path, "methods=[{method: houlsby, training: {learning_rate: 1.0e+30}}, head_only]")
    outcome = run_grid(ruined)
    assert [record.status for record in outcome.records.values()] == ["failed", "finished"]
    assert outcome.failed == 1
    reason = records.read(ruined[0].record_path).reason
    assert reason.startswith("RunError: the training loss is nan at step ")
    assert f"[1/2] {ruined[0]}: failed: {reason}; " in capsys.readouterr().out
    assert {file.parts[-3] for file in files_below(tmp_path / "results-adapters")} == {"head_only"}


def test_a_run_that_finds_no_memory_is_recorded_and_the_grid_goes_on(configure: Configure) -> None:
    path = configure(methods=[{"method": "pfeiffer", "bottleneck_size": 5 * 10**9}, "head_only"])
    outcome = run_grid(runs_of(path))
    assert outcome.failed == 1
    broken, whole = outcome.records.values()
    assert (broken.status, whole.status) == ("failed", "finished")
    assert broken.reason.startswith(
        "out of memory: try a smaller training.per_device_train_batch_size or max_length (RuntimeError: "
    )


def test_a_row_that_cannot_be_tokenised_fails_its_runs_alone(configure: Configure, files: dict[str, str]) -> None:
    tasks = [{"name": name, "kind": "classification", "data": files} for name in ("a", "b")]
    runs = runs_of(configure(methods=["head_only"], tasks=tasks))
    runs[0].data.splits["validation"][-1]["text"] = "half a pair: \ud83d"  # files with such a row are refused earlier
    outcome = run_grid(runs)
    assert outcome.failed == 1
    assert [(record.task, record.status) for record in outcome.records.values()] == [
        ("a", "failed"),
        ("b", "finished"),
    ]
    assert "TextEncodeInput" in outcome.records[runs[0].record_path].reason


def test_a_failed_run_is_tried_again(configure: Configure) -> None:
    (run,) = runs_of(configure(methods=["head_only"]))
    from peft_bottleneck_bench.training.execute import failed

    failed(run, "MachineError: unplugged")
    assert run_grid([run]).failed == 0
    assert records.read(run.record_path).status == "finished"


def test_examples_that_are_cut_are_told_once(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run_grid(runs_of(configure(methods=["head_only"]), "max_length=6", "seeds=[0, 1]"))
    cut = [line for line in capsys.readouterr().out.splitlines() if "are cut" in line]
    assert len(cut) == 3
    assert re.fullmatch(r"words: \d+ of 64 train examples are longer than max_length, 6 tokens, and are cut", cut[0])
    for record in outcome.records.values():
        longest, in_all = record.data.notes[-2:]
        assert re.fullmatch(r"the longest of \d+ examples has 6 tokens", longest)
        assert (
            in_all
            == f"{sum(int(line.split()[1]) for line in cut)} of them are longer than max_length, 6 tokens, and are cut"
        )


def test_a_run_that_another_process_has_is_left_to_it(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, other = runs_of(configure(methods=["head_only"], seeds=[0, 1]))
    with claim(other.record_path):
        outcome = run_grid([mine, other])
    assert (list(outcome.records), outcome.failed) == ([mine.record_path], 0)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"[2/2] {other}: left to another process"


def start(path: Path, *overrides: str) -> subprocess.Popen[str]:
    """The command in a process of its own, on as many threads as this one."""
    command = [sys.executable, "-m", "peft_bottleneck_bench.cli", "run", str(path), *overrides]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_two_processes_share_a_grid_and_a_search_and_do_each_run_once(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search = {"trials": 2, "space": {"learning_rate": [0.01, 0.02]}}
    path = configure(methods=["head_only", "bias_tuning"], seeds=[0, 1], search=search)
    process = start(path)
    deadline = time.monotonic() + 120
    while not list(tmp_path.rglob("*.lock")) and time.monotonic() < deadline:
        time.sleep(0.01)
    code = main(["run", str(path)])  # while the other process is at its first run
    ours = capsys.readouterr().out
    theirs, err = process.communicate(timeout=300)
    assert (code, process.returncode) == (0, 0), err
    told = re.findall(r"^\[\d/\d\] (.*): accuracy .*, trained [\d.]+ s(.*)$", ours + theirs, re.MULTILINE)
    done = [run for run, rest in told if "by another process" not in rest]
    assert len(done) == len(set(done)) == 2 * (2 + 2)
    assert all(re.search(r"^\[\d/\d\] (?!.* process )", out, re.MULTILINE) for out in (ours, theirs))
    assert len(records.read_all(tmp_path / "results")[0]) == 4
    assert len(records.read_all(tmp_path / "results-search")[0]) == 4
    assert not list(tmp_path.rglob("*.lock"))


def test_two_processes_give_the_same_scores_and_predictions(configure: Configure, tmp_path: Path) -> None:
    path = configure(methods=["houlsby"])
    process = start(path, f"results={tmp_path}/theirs")
    ((path_here, here),) = run_grid(runs_of(path)).records.items()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    ((path_there, there),) = records.read_all(tmp_path / "theirs")[0].items()
    for field in ("run", "metrics", "report", "loss_curve", "validation_curve", "best_step"):
        assert getattr(here, field) == getattr(there, field), field
    predictions = [records.predictions_path(path).read_bytes() for path in (path_here, path_there)]
    assert predictions[0] == predictions[1]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_grid_loses_at_most_the_run_in_progress(configure: Configure, tmp_path: Path) -> None:
    path = configure(methods=["head_only"], seeds=list(range(40)))
    results = tmp_path / "results"
    command = [sys.executable, "-m", "peft_bottleneck_bench.cli", "run", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while len(list(results.rglob("*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    found, warnings = records.read_all(results)
    assert 2 <= len(found) < 40
    assert warnings == []
    assert {record.status for record in found.values()} == {"finished"}
    runs = runs_of(path)[: len(found) + 1]
    kept = {path: path.stat().st_mtime_ns for path in found}
    assert run_grid(runs).failed == 0
    assert {path: path.stat().st_mtime_ns for path in found} == kept
    assert len(records.read_all(results)[0]) == len(found) + 1
    assert not list(results.rglob("*.lock"))  # the one of the dead process too
    assert not list((tmp_path / "results-adapters").rglob("*.partial"))
