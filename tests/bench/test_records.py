"""Records: the schema's errors, whole files or none, and reading by `datasets`."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import datasets
import pytest

from peft_bottleneck_bench import records

RECORD: records.Record = {
    "schema_version": 1,
    "status": "finished",
    "reason": None,
    "run": "a1b2c3d4",
    "task": "sst2",
    "kind": "classification",
    "method": "houlsby",
    "model": "tiny",
    "seed": 0,
    "main_metric": "accuracy",
    "metric": {
        "name": "classification",
        "options": {"main": "accuracy"},
        "signature": "scikit-learn:1",
        "greater_is_better": True,
    },
    "metrics": {"validation": {"accuracy": 0.75}, "test": {"accuracy": 0.5, "macro_f1": 0.25}},
    "report": [{"label": "good", "precision": 1.0, "recall": 0.5, "f1": 0.6667, "support": 2}],
    "trainable_parameters": 10,
    "total_parameters": 100,
    "train_seconds": 1.5,
    "train_examples_per_second": 20.0,
    "peak_memory_bytes": 1000,
    "adapter_bytes": 80,
    "loss_curve": [[1, 0.7], [2, 0.5]],
    "validation_curve": [[2, 0.75]],
    "best_step": 2,
    "configuration": {"training": {"learning_rate": 1e-3}, "method": {"target_modules": None}},
    "data": {
        "source": "files",
        "revision": None,
        "sha256": "00ff",
        "licence": None,
        "counts": {"train": 4, "validation": 2, "test": 2},
    },
    "versions": {"torch": "2"},
    "commit": None,
    "hardware": {"device": "cpu", "processor": "x86", "cores": 2, "memory_bytes": 1, "platform": "Linux"},
    "determinism": "the same score on the same machine",
    "started": "2026-01-31T12:00:00Z",
    "finished": "2026-01-31T12:00:05Z",
    "predictions": None,
}


def changed(**fields: Any) -> records.Record:
    return {**copy.deepcopy(RECORD), **fields}


FAILED = changed(
    status="failed",
    reason="NaN loss at step 3",
    task="de",
    kind="translation",
    main_metric="bleu",
    metric={**RECORD["metric"], "name": "translation", "options": {"main": "bleu", "tokenize": "13a"}},
    metrics={"validation": {}, "test": {}},
    report=[],
    train_seconds=None,
    peak_memory_bytes=None,
    adapter_bytes=None,
    best_step=None,
    loss_curve=[],
    validation_curve=[],
    configuration={"method": {"target_modules": ["query", "value"]}},
    versions={"sacrebleu": "2"},
)
TRANSLATED = changed(
    task="de",
    kind="translation",
    main_metric="bleu",
    metrics={"validation": {"bleu": 20.0, "chrf": 40.0}, "test": {"bleu": 21.0, "chrf": 41.0}},
    report=[],
)


@pytest.mark.parametrize("record", [RECORD, FAILED, TRANSLATED])
def test_what_is_written_is_read(tmp_path: Path, record: records.Record) -> None:
    path = tmp_path / "deep" / "r.json"
    records.write(record, path)
    assert records.read(path) == record
    assert records.read_all(tmp_path) == ({path: record}, [])


def test_a_record_reads_well_and_holds_numbers_where_they_belong(tmp_path: Path) -> None:
    records.write(RECORD, tmp_path / "r.json")
    lines = (tmp_path / "r.json").read_text().splitlines()
    assert len(lines) == len(records.FIELDS) + 2  # one line per field, and the braces
    assert json.loads("\n".join(lines))["metrics"]["test"]["accuracy"] == 0.5
    assert records.value(RECORD, "metrics.test.accuracy") == 0.5
    assert records.value(RECORD, "configuration.training.learning_rate") == 1e-3
    with pytest.raises(KeyError, match=r"metrics.test.f1: no 'f1': choose from accuracy, macro_f1"):
        records.value(RECORD, "metrics.test.f1")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schema_version": 2}, r"schema_version is 2: this version reads 1"),
        ({"status": "done"}, r"status is 'done': choose from finished, failed"),
        ({"kind": "classify"}, r"kind is 'classify': choose from classification, "),
        ({"seed": "0"}, r"seed is '0': expected a whole number"),
        ({"seed": True}, r"seed is True: expected a whole number"),
        ({"train_seconds": float("nan")}, r"train_seconds is nan: expected a finite number"),
        ({"adapter_bytes": None}, r"adapter_bytes is None: a finished run knows it"),
        ({"adapter_bytes": 1.5}, r"adapter_bytes is 1.5: expected a whole number or None"),
        ({"status": "failed"}, r"reason is None: a failed run gives its reason"),
        ({"main_metric": "f1"}, r"metrics\.validation lacks the main metric 'f1': it has accuracy"),
        ({"metrics": {"test": {}}}, r"metrics has the keys test: expected validation, test"),
        ({"loss_curve": [[1, 0.5], [2, float("inf")]]}, r"loss_curve\[1\] is inf: expected a finite number"),
        ({"loss_curve": [[1]]}, r"loss_curve\[0\] is \[1\]: expected a pair \[step, value\]"),
        ({"report": [{"label": "good"}]}, r"report\[0\] has the keys label: expected label, precision"),
        ({"configuration": {"path": Path()}}, r"configuration: cannot stand in JSON: Object of type "),
        ({"finished": "2026-01-31 12:00"}, r"finished is '2026-01-31 12:00': expected UTC as in 2026"),
        ({"colour": "red"}, r"unknown fields: colour: choose from schema_version, "),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_written(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    path = tmp_path / "r.json"
    with pytest.raises(ValueError, match=f"^{path}: {message}"):
        records.write(changed(**fields), path)
    assert not list(tmp_path.iterdir())


def test_missing_fields_are_named() -> None:
    record = changed()
    del record["seed"], record["model"]
    with pytest.raises(ValueError, match=r"^record: missing fields: model, seed$"):
        records.validate(record)


def test_what_is_no_record_is_warned_of_and_passed_over(tmp_path: Path) -> None:
    records.write(RECORD, tmp_path / "sound.json")
    (tmp_path / "broken.json").write_text('{"schema_version": 1,')
    (tmp_path / "other.json").write_text('{"name": "a model\'s configuration"}')
    (tmp_path / "newer.json").write_text('{"schema_version": 9}')
    found, warnings = records.read_all(tmp_path)
    assert list(found) == [tmp_path / "sound.json"]
    assert [warning.partition(": ")[0] for warning in warnings] == [
        str(tmp_path / name) for name in ("broken.json", "newer.json", "other.json")
    ]


@pytest.mark.parametrize("order", [(RECORD, FAILED, TRANSLATED), (FAILED, TRANSLATED, RECORD)])
def test_datasets_reads_records_of_different_tasks_together(tmp_path: Path, order: tuple[records.Record, ...]) -> None:
    for number, record in enumerate(order):
        records.write(record, tmp_path / f"{number}.json")
    found, _ = records.read_all(tmp_path)
    table = datasets.load_dataset(
        "json",
        data_files=[str(path) for path in found],
        features=records.features(found.values()),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    assert table["seed"][:] == [0, 0, 0]
    by_task = {(row["status"], row["task"]): row for row in table}
    row = by_task["finished", "sst2"]
    assert row["metrics"]["test"] == {"accuracy": 0.5, "bleu": None, "chrf": None, "macro_f1": 0.25}
    assert row["loss_curve"] == [[1, 0.7], [2, 0.5]]
    assert json.loads(row["configuration"]) == RECORD["configuration"]
    assert by_task["failed", "de"]["reason"] == "NaN loss at step 3"


def test_datasets_reads_records_of_one_task_without_help(tmp_path: Path) -> None:
    for seed in range(2):
        records.write(changed(seed=seed), tmp_path / f"{seed}.json")
    table = datasets.load_dataset(
        "json", data_files=str(tmp_path / "*.json"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert table["seed"][:] == [0, 1]


def test_predictions_come_back_and_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    rows = [{"split": "test", "index": i, "reference": "gut ✓\u2028", "prediction": ["B-X", "O"]} for i in range(3)]
    path = records.predictions_path(tmp_path / "sst2.v1.json")
    assert path.name == "sst2.v1.predictions.jsonl.gz"
    records.write_predictions(rows, path)
    first = path.read_bytes()
    time.sleep(1.1)  # a gzip header would hold the time in seconds
    records.write_predictions(rows, tmp_path / "again.jsonl.gz")
    assert first == (tmp_path / "again.jsonl.gz").read_bytes()
    assert records.read_predictions(path) == rows
    path.write_bytes(first[:-9])
    with pytest.raises(ValueError, match=f"{path}: not a predictions file"):
        records.read_predictions(path)
    with pytest.raises(ValueError, match="row 0 lacks index, prediction: it has split, reference"):
        records.write_predictions([{"split": "test", "reference": 1}], path)
    assert path.read_bytes() == first[:-9]


def test_a_killed_writer_leaves_whole_records_alone(tmp_path: Path) -> None:
    code = (
        "import json, sys\n"
        "from itertools import count\n"
        "from pathlib import Path\n"
        "from peft_bottleneck_bench import records\n"
        "record = json.load(sys.stdin)\n"
        "for step in count():\n"
        "    record['loss_curve'] = [[step, 0.5]] * 5000\n"
        f"    records.write(record, Path({str(tmp_path / 'r.json')!r}))\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True)
    assert writer.stdin is not None
    writer.stdin.write(json.dumps(RECORD))
    writer.stdin.close()
    while not (tmp_path / "r.json").exists():
        assert writer.poll() is None
        time.sleep(0.01)
    for _ in range(10):
        assert len(records.read(tmp_path / "r.json")["loss_curve"]) == 5000
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    found, warnings = records.read_all(tmp_path)
    assert len(found) == 1
    assert not warnings
