"""Records: the schema's errors, whole files or none, and reading by `datasets`."""

from __future__ import annotations

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

FIELDS: dict[str, Any] = {
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
    "train_steps": 2,
    "train_seconds": 1.5,
    "others_cpu_share": 0.02,
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
    return records.Record(**{**FIELDS, **fields})


RECORD = changed()


FAILED = changed(
    status="failed",
    reason="NaN loss at step 3",
    task="de",
    kind="translation",
    main_metric="bleu",
    metric={**FIELDS["metric"], "name": "translation", "options": {"main": "bleu", "tokenize": "13a"}},
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
    assert len(lines) == len(records.Record.model_fields) + 2  # one line per field, and the braces
    assert json.loads("\n".join(lines))["metrics"]["test"]["accuracy"] == 0.5
    assert (RECORD.test_score, RECORD.validation_score) == (0.5, 0.75)
    with pytest.raises(ValueError, match="frozen"):
        RECORD.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schema_version": 2}, r"schema_version is 2: expected 1$"),
        ({"status": "done"}, r"status is 'done': expected 'finished' or 'failed'"),
        ({"kind": "classify"}, r"kind is 'classify': expected 'classification', "),
        ({"seed": "0"}, r"seed is '0': expected a valid integer"),
        ({"seed": True}, r"seed is True: expected a valid integer"),
        ({"seed": -1}, r"seed is -1: expected greater than or equal to 0"),
        ({"train_seconds": float("nan")}, r"train_seconds is nan: expected a finite number"),
        ({"train_seconds": 1e16}, r"train_seconds is 1e\+16: expected less than or equal to 1000000000000000"),
        ({"adapter_bytes": None}, r"adapter_bytes is None: a finished run knows it"),
        ({"adapter_bytes": 1.5}, r"adapter_bytes is 1.5: expected a valid integer"),
        ({"adapter_bytes": 2**63}, r"adapter_bytes is 9223372036854775808: expected less than "),
        ({"status": "failed"}, r"reason is None: a failed run gives its reason"),
        ({"main_metric": "f1"}, r"metrics\.validation lacks the main metric 'f1': it has accuracy"),
        ({"metrics": {"test": {"accuracy": 0.5}}}, r"metrics\.validation lacks the main metric 'accuracy'"),
        ({"metrics": {"tset": {}}}, r"metrics\.tset is not a field"),
        ({"loss_curve": [[1, 0.5], [2, float("inf")]]}, r"loss_curve\[1\]\[1\] is inf: expected a finite number"),
        ({"loss_curve": [[1]]}, r"loss_curve\[0\]\[1\] is missing"),
        ({"report": [{"label": "good"}]}, r"report\[0\]\.precision is missing; .*; and 1 more"),
        ({"configuration": [1]}, r"configuration is \[1\]: expected an object"),
        ({"finished": "2026-01-31 12:00"}, r"finished is '2026-01-31 12:00': expected UTC as in 2026"),
        ({"colour": "red"}, r"colour is not a field"),
        ({"task": ""}, r"task is '': String should have at least 1 character"),
        ({"predictions": "../secret.gz"}, r"predictions is '../secret.gz': no file name: it has /"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    path = tmp_path / "r.json"
    content = {**RECORD.model_dump(mode="json"), **fields}
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"^{path}: {message}"):
        records.read(path)
    with pytest.raises(ValueError, match="1 validation error|validation errors"):
        changed(**fields)


def test_what_is_not_json_is_not_accepted_as_a_configuration() -> None:
    with pytest.raises(ValueError, match="configuration.path"):
        changed(configuration={"path": Path()})


def test_missing_fields_are_named(tmp_path: Path) -> None:
    content = RECORD.model_dump(mode="json")
    del content["seed"], content["model"]
    (tmp_path / "r.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r": model is missing; seed is missing$"):
        records.read(tmp_path / "r.json")


def test_a_deeply_nested_configuration_is_refused(tmp_path: Path) -> None:
    content = RECORD.model_dump(mode="json") | {"configuration": '{"a": ' + "[" * 100_000}
    (tmp_path / "r.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"configuration is .{60} …: recursion limit exceeded"):
        records.read(tmp_path / "r.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "recursion limit exceeded"),
        (b"\xff\xfe\x00", "Invalid JSON"),
        (b'{"schema_version": 1, "seed": ' + b"9" * 5000 + b"}", "number out of range"),
        (b"[]", "expected an object"),
        (b"null", "expected an object"),
        (b'"a lone surrogate: \\ud800"', "unexpected end of hex escape"),
        (b"", "EOF while parsing"),
    ],
)
def test_an_odd_file_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "r.json").write_bytes(content)
    (_, (warning,)) = records.read_all(tmp_path)
    assert message in warning
    assert "\n" not in warning
    assert len(warning) < 1000


def test_a_record_of_version_1_with_a_configuration_as_a_mapping_is_read(tmp_path: Path) -> None:
    content = RECORD.model_dump(mode="json") | {"configuration": RECORD.configuration}
    (tmp_path / "r.json").write_text(json.dumps(content))
    assert records.read(tmp_path / "r.json") == RECORD


def test_the_json_schema_names_every_field() -> None:
    schema = records.Record.model_json_schema(mode="serialization")
    assert schema["properties"].keys() == FIELDS.keys()
    assert schema["properties"]["seed"]["type"] == "integer"
    assert schema["properties"]["train_seconds"]["description"] == "without evaluation"
    assert schema["additionalProperties"] is False


def test_records_are_read_without_torch_or_datasets() -> None:
    code = "import sys; from peft_bottleneck_bench import records; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "pydantic" in loaded
    assert not {"torch", "datasets", "pandas", "numpy", "evaluate", "transformers"} & set(loaded)


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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_what_is_no_file_is_left_out_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    os.mkfifo(tmp_path / "pipe.gz")
    assert records.read_all(tmp_path) == (
        {},
        [f"{tmp_path / name}: not a file" for name in ("folder.json", "pipe.json")],
    )
    with pytest.raises(ValueError, match="pipe.gz: not a file"):
        records.read_predictions(tmp_path / "pipe.gz")


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
    assert json.loads(row["configuration"]) == RECORD.configuration
    assert by_task["failed", "de"]["reason"] == "NaN loss at step 3"


def test_datasets_reads_records_of_one_task_without_help(tmp_path: Path) -> None:
    for seed in range(2):
        records.write(changed(seed=seed), tmp_path / f"{seed}.json")
    table = datasets.load_dataset(
        "json", data_files=str(tmp_path / "*.json"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert table["seed"][:] == [0, 1]


def test_a_killed_writer_leaves_whole_records_alone(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from itertools import count\n"
        "from pathlib import Path\n"
        "from peft_bottleneck_bench import records\n"
        "record = records.Record.model_validate_json(sys.stdin.read())\n"
        "for step in count():\n"
        "    longer = record.replace(loss_curve=[[step, 0.5]] * 5000)\n"
        f"    records.write(longer, Path({str(tmp_path / 'r.json')!r}))\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True)
    assert writer.stdin is not None
    writer.stdin.write(RECORD.model_dump_json())
    writer.stdin.close()
    while not (tmp_path / "r.json").exists():
        assert writer.poll() is None
        time.sleep(0.01)
    for _ in range(10):
        assert len(records.read(tmp_path / "r.json").loss_curve) == 5000
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    found, warnings = records.read_all(tmp_path)
    assert len(found) == 1
    assert not warnings
