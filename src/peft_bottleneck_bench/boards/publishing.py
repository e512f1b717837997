"""Records for others: their predictions hold no text of the data, and still give every rank."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import JsonValue

from .. import records
from ..errors import UserError
from ..records import Prediction, Record, costs
from .samples import NotComparable, read_tests, test_rows

GENERATING = ("translation", "summarization", "generation")


def publish(results: Path, target: Path) -> int:
    """Copies all records below `results` to the same places below `target`, and returns how many.

    Labels, numbers and `costs.json` stay. A generated text and its reference become hashes, beside what the example
    contributes to the main score, from which a board computes the same ranks.

    Raises:
        UserError: there is no record, one is not valid, or one has no predictions to publish.
        StorageError: the folder cannot be written.
    """
    found, problems = records.read_all(results)
    if not found and not problems:
        problems = [f"{results}: no records below it"]
    rows: dict[Path, list[Prediction]] = {}
    for path, record in found.items():
        try:
            rows[path] = list(_published(path, record)) if record.status == "finished" else []
        except NotComparable as error:
            problems.append(f"{path}: {error}")
    if problems:
        raise UserError(*problems)
    for path, record in found.items():
        place = target / path.relative_to(results)
        if record.status == "finished":
            side = records.predictions_path(place)
            records.write_predictions(rows[path], side)
            record = record.replace(predictions=side.name)
        records.write(record, place)
    if (measured := costs.read(results)) is not None:
        costs.write(measured, target)
    return len(found)


def _published(path: Path, record: Record) -> Iterator[Prediction]:
    rows = test_rows(path, record)
    if record.kind not in GENERATING:
        for row in rows:
            yield Prediction(split="test", index=row.index, reference=row.reference, prediction=row.prediction)
        return
    tests = read_tests({path: record})
    if path in tests.problems:
        raise NotComparable(tests.problems[path])
    statistics: Sequence[Sequence[float]] = tests.contributions([path]).tolist()
    for row, contribution in zip(rows, statistics, strict=True):
        yield Prediction(
            split="test",
            index=row.index,
            reference=_hash(row.reference),
            prediction=_hash(row.prediction),
            statistics=tuple(contribution),
        )


def _hash(value: JsonValue) -> str:
    if isinstance(value, str) and value.startswith("sha256:"):
        return value  # published before
    return f"sha256:{hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()[:16]}"
