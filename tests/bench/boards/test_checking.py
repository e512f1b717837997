"""Whether others' records are what they say."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_bottleneck_bench import records
from peft_bottleneck_bench.boards.checking import check
from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.records import Record

SCORES = Path(__file__).parents[3] / "benchmarks" / "scores" / "relations"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The committed records of two methods and seeds."""
    for path in SCORES.rglob("*.json"):
        if path.parent.name in ("houlsby", "lora") and "seed2" not in path.name:
            target = tmp_path / "theirs" / path.relative_to(SCORES)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
            shutil.copy(records.predictions_path(path), records.predictions_path(target))
    return tmp_path / "theirs"


def test_committed_records_are_sound(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(folder) == (4, [])
    assert check(folder, SCORES) == (4, [])
    assert main(["check", str(folder), "--against", str(SCORES)]) == 0
    assert capsys.readouterr().out == f"4 records below {folder}: nothing is wrong\n"


def _other_rows(path: Path, record: Record) -> None:
    rows = records.read_predictions(records.predictions_path(path))
    records.write_predictions(rows[:-1], records.predictions_path(path))


FAULTS: dict[str, tuple[Callable[[Path, Record], Any], str]] = {
    "a better score": (
        lambda path, r: records.write(r.replace(metrics={**dict(r.metrics), "test": {r.main_metric: 0.99}}), path),
        "is 0.99, but the predictions give 0.",
    ),
    "another configuration": (
        lambda path, r: records.write(r.replace(configuration={**r.configuration, "max_length": 7}), path),
        "but its configuration has the hash '",
    ),
    "another protocol": (
        lambda path, r: records.write(r.replace(configuration={**r.configuration, "protocol": 0}), path),
        "protocol 0: this version's is 1",
    ),
    "another seed": (lambda path, r: records.write(r.replace(seed=77), path), "seed is 77, but the configuration has"),
    "predictions that lack an example": (_other_rows, " predictions for "),
    "no predictions": (lambda path, r: records.predictions_path(path).unlink(), "predictions.jsonl.gz is missing"),
    "a copy": (lambda path, r: shutil.copy(path, path.with_name("copy.json")), "the same run as "),
    "no record": (lambda path, r: path.write_text("{}"), "not a record: it has no schema_version"),
    "other data": (
        lambda path, r: records.write(r.replace(data=r.data.model_copy(update={"sha256": "0" * 64})), path),
        "other data than ",
    ),
    "another metric": (
        lambda path, r: records.write(r.replace(metric=r.metric.model_copy(update={"signature": "mine"})), path),
        "scored by another metric than ",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_named_with_its_file(folder: Path, fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = sorted(folder.rglob("*.json"))[0]
    change, message = FAULTS[fault]
    change(path, records.read(path))
    _, problems = check(folder, SCORES)
    assert problems
    assert any(message in problem for problem in problems), problems
    assert all(str(folder) in problem for problem in problems)
    assert main(["check", str(folder), "--against", str(SCORES)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_an_empty_folder_and_none_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}: no records below it\n"
    assert main(["check", str(tmp_path / "no")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'no'}: no such folder\n"
