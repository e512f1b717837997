"""What the page shows of a run when it is opened."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from ..metrics.counts import distinct
from ..records import TIME_FORMAT, Prediction, Record
from . import formatting as show
from .samples import NotComparable, test_rows

EXAMPLES = 20
CHARACTERS = 400
LABELS = 12  # a larger confusion matrix is not read but searched, which its largest cells serve better


def details(path: Path, record: Record, folder: Path) -> dict[str, Any]:
    """The run's record in words, its curves, its confusions and examples of its errors.

    Args:
        path: of the record, below `folder`.
    """
    found: dict[str, Any] = {
        "title": f"{record.method}, seed {record.seed}",
        "subtitle": f"{record.task} · {record.model}",
        "facts": _facts(path.relative_to(folder), record),
        "metrics": {
            split: {name: show.score(score) for name, score in scores.items()} for split, scores in record.metrics
        },
        "report": [
            {**dict(row), **{name: show.score(getattr(row, name)) for name in ("precision", "recall", "f1")}}
            for row in record.report
        ],
        "curves": {
            "training loss": record.loss_curve,
            f"validation {record.main_metric}": record.validation_curve,
        },
        "configuration": json.dumps(record.configuration, indent=2, ensure_ascii=False),
    }
    if record.status == "finished":
        try:
            rows = test_rows(path, record)
        except NotComparable as error:
            found["errors"] = {"summary": f"No predictions: {error}", "rows": []}
        else:
            found["errors"] = _errors(rows, record.kind)
            if record.kind in ("classification", "relation_extraction"):
                found["confusion"] = _confusion(rows)
    return found


def _facts(path: Path, record: Record) -> list[tuple[str, str]]:
    share = show.share(record.trainable_parameters, record.total_parameters)
    hardware, speed = record.hardware, record.train_examples_per_second
    facts = [
        ("status", record.status if record.reason is None else f"{record.status}: {record.reason}"),
        ("trainable", f"{show.count(record.trainable_parameters)} ({share})"),
        ("train time", show.seconds(record.train_seconds)),
        ("speed", f"{speed:.0f} examples per second" if speed else show.NONE),
        ("peak memory", show.size(record.peak_memory_bytes)),
        ("adapter file", show.size(record.adapter_bytes)),
        ("best step", show.count(record.best_step)),
        ("device", f"{hardware.device}, {hardware.processor}, {hardware.cores} cores"),
        ("versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
        ("commit", record.commit or "not a checkout"),
        ("finished", record.finished.strftime(TIME_FORMAT)),
        ("determinism", record.determinism),
        ("record", str(path)),
    ]
    return [(name, fact) for name, fact in facts if not fact.startswith(show.NONE)]


def _errors(rows: list[Prediction], kind: str) -> dict[str, Any]:
    """The first wrong predictions; of a regression the farthest off."""
    wrong = [row for row in rows if row.prediction != row.reference]
    if kind == "regression":
        wrong.sort(key=lambda row: -_distance(row))
    shown = [{name: _short(value) for name, value in row if name != "split"} for row in wrong[:EXAMPLES]]
    which = (
        f", the {'farthest' if kind == 'regression' else 'first'} {len(shown)} of them"
        if len(wrong) > EXAMPLES
        else ""
    )
    return {
        "summary": f"{len(wrong):,} of {len(rows):,} test examples differ from the reference{which}",
        "rows": shown,
    }


def _distance(row: Prediction) -> float:
    numbers = [value for value in (row.prediction, row.reference) if isinstance(value, (int, float))]
    return abs(numbers[0] - numbers[1]) if len(numbers) == 2 else math.inf


def _short(value: Any) -> str:
    if isinstance(value, list):
        value = " ".join(map(str, value))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]} …"


def _confusion(rows: list[Prediction]) -> dict[str, Any]:
    """Counts by reference (rows) and prediction (columns), or, of many labels, the most frequent confusions."""
    pairs = Counter((str(row.reference), str(row.prediction)) for row in rows)
    labels = distinct(*pairs)
    if len(labels) <= LABELS:
        return {
            "labels": [str(label) for label in labels],
            "counts": [[pairs[reference, prediction] for prediction in labels] for reference in labels],
        }
    frequent = [(pair, count) for pair, count in pairs.most_common() if pair[0] != pair[1]][:EXAMPLES]
    return {"frequent": [[str(reference), str(prediction), count] for (reference, prediction), count in frequent]}
