"""The record of a run: one JSON file with one line per field, and a compressed file with its predictions beside it.

Records are written once and never changed; every table is a function of them. `FIELDS` is the whole schema: it
documents, validates, and gives the types with which `datasets.load_dataset` reads records of any tasks together:

    records, _ = read_all(Path("results"))
    load_dataset("json", data_files=[str(path) for path in records], features=features(records.values()))

Fields of free shape (`configuration`, `metric.options`) are mappings in memory and JSON text in the file, because
Arrow needs one type per field. Every other field keeps its shape, so `value(record, "metrics.test.accuracy")` reads
in memory what any JSON tool reads in the file.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from uuid import uuid4

from . import record_types as of

if TYPE_CHECKING:
    import datasets

SCHEMA_VERSION = 1
STATUSES = ("finished", "failed")
KINDS = ("classification", "regression", "ner", "relation_extraction", "translation", "summarization")

Record = dict[str, Any]

_SCORES = of.Struct(validation=of.Map(of.Number()), test=of.Map(of.Number()))
_REPORT_ROW = of.Struct(
    label=of.Text(), precision=of.Number(), recall=of.Number(), f1=of.Number(), support=of.Integer()
)

#: Every field of a record. `None` stands where a value is unknown; what a finished run must know is in `_REQUIRED`.
FIELDS: dict[str, of.Type] = {
    "schema_version": of.Integer(),
    "status": of.Text(choices=STATUSES),
    "reason": of.Text(nullable=True),  # why the run failed
    "run": of.Text(),  # short hash of the resolved configuration
    "task": of.Text(),
    "kind": of.Text(choices=KINDS),
    "method": of.Text(),  # the label under which the run is compared
    "model": of.Text(),
    "seed": of.Integer(),
    "main_metric": of.Text(),
    "metric": of.Struct(name=of.Text(), options=of.Json(), signature=of.Text(), greater_is_better=of.Boolean()),
    "metrics": _SCORES,
    "report": of.Rows(_REPORT_ROW),  # per class or entity type, on test
    "trainable_parameters": of.Integer(nullable=True),
    "total_parameters": of.Integer(nullable=True),
    "train_seconds": of.Number(nullable=True),  # evaluation excluded
    "train_examples_per_second": of.Number(nullable=True),
    "peak_memory_bytes": of.Integer(nullable=True),
    "adapter_bytes": of.Integer(nullable=True),
    "loss_curve": of.Rows(of.Point()),  # [step, training loss]
    "validation_curve": of.Rows(of.Point()),  # [step, main metric]
    "best_step": of.Integer(nullable=True),
    "configuration": of.Json(),  # resolved
    "data": of.Struct(
        source=of.Text(),
        revision=of.Text(nullable=True),
        sha256=of.Text(nullable=True),
        licence=of.Text(nullable=True),
        counts=of.Struct(train=of.Integer(), validation=of.Integer(), test=of.Integer()),
    ),
    "versions": of.Map(of.Text()),  # package -> version
    "commit": of.Text(nullable=True),
    "hardware": of.Struct(
        device=of.Text(), processor=of.Text(), cores=of.Integer(), memory_bytes=of.Integer(), platform=of.Text()
    ),
    "determinism": of.Text(),  # what is promised, and what cannot be
    "started": of.Time(),
    "finished": of.Time(),
    "predictions": of.Text(nullable=True),  # file name, relative to the record's folder
}
_REQUIRED = ("trainable_parameters", "total_parameters", "train_seconds", "peak_memory_bytes", "adapter_bytes")


def validate(record: Mapping[str, Any], where: str = "record") -> None:
    """Checks `record` against the schema.

    Raises:
        ValueError: names `where`, the field, the value and what is allowed there.
    """
    version = record.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ValueError(f"{where}: schema_version is {version!r}: this version reads {SCHEMA_VERSION}")
    if missing := [name for name in FIELDS if name not in record]:
        raise ValueError(f"{where}: missing fields: {', '.join(missing)}")
    if unknown := [name for name in record if name not in FIELDS]:
        raise ValueError(f"{where}: unknown fields: {', '.join(unknown)}: choose from {', '.join(FIELDS)}")
    for name, type_ in FIELDS.items():
        type_.check(record[name], f"{where}: {name}")
    if record["status"] == "failed":
        if not record["reason"]:
            raise ValueError(f"{where}: reason is {record['reason']!r}: a failed run gives its reason")
        return
    for name in _REQUIRED:
        if record[name] is None:
            raise ValueError(f"{where}: {name} is None: a finished run knows it")
    for split, figures in record["metrics"].items():
        if record["main_metric"] not in figures:
            raise ValueError(
                f"{where}: metrics.{split} lacks the main metric '{record['main_metric']}': "
                f"it has {', '.join(figures)}"
            )


def value(record: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted `path`, such as `metrics.test.accuracy`.

    Raises:
        KeyError: names the path, the part that is missing and the parts that are there.
    """

    def step(node: Any, part: str) -> Any:
        if not isinstance(node, Mapping) or part not in node:
            choices = ", ".join(map(str, node)) if isinstance(node, Mapping) else "nothing"
            raise KeyError(f"{path}: no '{part}': choose from {choices}")
        return node[part]

    return reduce(step, path.split("."), record)


def write(record: Record, path: Path) -> None:
    """Writes a valid `record` to `path` in one step: a reader sees the whole file or none, whenever the process dies.

    Raises:
        ValueError: the record is not valid; nothing is written.
    """
    validate(record, str(path))
    lines = (f"  {_dump(name)}: {_dump(type_.encode(record[name]))}" for name, type_ in FIELDS.items())
    with replacing(path) as file:
        file.write(("{\n" + ",\n".join(lines) + "\n}\n").encode())


def read(path: Path) -> Record:
    """The valid record in the file at `path`.

    Raises:
        ValueError: the file is no record; names the file and what is wrong.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if not isinstance(raw, dict) or "schema_version" not in raw:
        raise ValueError(f"{path}: not a record: it has no schema_version")
    try:
        record = {name: FIELDS[name].decode(field) if name in FIELDS else field for name, field in raw.items()}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    validate(record, str(path))
    return record


def read_if_there(path: Path) -> Record | None:
    """The record at `path`; None if there is no whole one."""
    try:
        return read(path)
    except (OSError, ValueError):
        return None


def read_all(folder: Path) -> tuple[dict[Path, Record], list[str]]:
    """All records anywhere below `folder`, by path and in its order, and one warning per file that is no record."""
    records, warnings = {}, []
    for path in sorted(folder.rglob("*.json")):
        try:
            records[path] = read(path)
        except (OSError, ValueError) as error:
            warnings.append(str(error))
    return records, warnings


def features(records: Iterable[Record]) -> datasets.Features:
    """The types of the fields of `records`, for `datasets.load_dataset("json", ..., features=...)`."""
    import datasets

    records = list(records)
    return datasets.Features({name: type_.feature([r[name] for r in records]) for name, type_ in FIELDS.items()})


def predictions_path(record_path: Path) -> Path:
    """Where the predictions of the record at `record_path` lie."""
    return record_path.parent / f"{record_path.stem}.predictions.jsonl.gz"


def write_predictions(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Writes one JSON line per example, compressed, in one step; equal rows give equal bytes.

    Args:
        rows: mappings with at least `split`, `index`, `reference` and `prediction`.

    Raises:
        ValueError: a row lacks one of these; names it.
    """
    # No file name and no time in the header: equal rows give equal bytes.
    with replacing(path) as file, gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as compressed:
        for number, row in enumerate(rows):
            if missing := {"split", "index", "reference", "prediction"} - row.keys():
                raise ValueError(f"{path}: row {number} lacks {', '.join(sorted(missing))}: it has {', '.join(row)}")
            compressed.write((_dump(row) + "\n").encode())


def read_predictions(path: Path) -> list[dict[str, Any]]:
    """The rows of a predictions file.

    Raises:
        ValueError: the file cannot be read to its end; names it.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    except (EOFError, gzip.BadGzipFile, ValueError) as error:
        raise ValueError(f"{path}: not a predictions file: {error}") from error


def _dump(field: object) -> str:
    return json.dumps(field, ensure_ascii=False, allow_nan=False)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file beside `path` that takes its place, wholly on disk, when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
