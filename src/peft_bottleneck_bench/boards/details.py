"""The details of a run on the page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..metrics.counts import distinct
from ..records import TIME_FORMAT, Prediction, Record
from . import formatting as show
from .examples import SHOWN, errors
from .inputs import Parts

LABELS = 12  # of a larger confusion matrix the page shows the largest cells
POINTS = 200  # of a curve: more than a picture has room for

Details = dict[str, object]
Points = Sequence[tuple[int, float]]


def details(
    path: Path, record: Record, rows: Sequence[Prediction] | str | None, inputs: Sequence[Parts] | None = None
) -> Details:
    """The run's record in words, its curves, its confusions and examples of its errors.

    Args:
        path: of the record, below the page's folder.
        rows: of the test split; or why there are none; None for a run that failed.
        inputs: what the test examples say, if that is known.
    """
    found: Details = {
        "key": path.as_posix(),
        "title": f"{record.method}, seed {record.seed}",
        "subtitle": f"{record.task} · {record.model}",
        "facts": _facts(path, record),
        "metrics": {
            split: {name: show.score(score) for name, score in scores.items()} for split, scores in record.metrics
        },
        "report": [
            {**dict(row), **{name: show.score(getattr(row, name)) for name in ("precision", "recall", "f1")}}
            for row in record.report
        ],
        "curves": {
            "training loss": thinned(record.loss_curve),
            f"validation {record.main_metric}": thinned(record.validation_curve),
        },
        "configuration": json.dumps(record.configuration, indent=2, ensure_ascii=False),
    }
    if isinstance(rows, str):
        found["errors"] = {"summary": f"No predictions: {rows}", "rows": []}
    elif rows is not None:
        found["errors"] = errors(rows, record.kind, inputs)
        if record.kind in ("classification", "relation_extraction"):
            found["confusion"] = _confusion(rows)
    return found


def thinned(curve: Points) -> Points:
    """`curve` with at most `POINTS` points, the last among them."""
    step = -(-len(curve) // POINTS) or 1
    return curve[::-1][::step][::-1]


def _facts(path: Path, record: Record) -> list[tuple[str, str]]:
    share = show.share(record.trainable_parameters, record.total_parameters)
    hardware, speed = record.hardware, record.train_examples_per_second
    facts = [
        ("status", record.status if record.reason is None else f"{record.status}: {record.reason}"),
        ("trainable", f"{show.count(record.trainable_parameters)} ({share})"),
        ("train time", show.train_time(record.train_seconds, record.shared_machine)),
        ("speed", f"{speed:.0f} examples per second" if speed else show.NONE),
        ("peak memory", show.size(record.peak_memory_bytes)),
        ("adapter file", show.size(record.adapter_bytes)),
        ("best step", show.count(record.best_step)),
        ("device", f"{hardware.device}, {hardware.processor}, {hardware.cores} cores"),
        ("versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
        ("commit", record.commit or "not a checkout"),
        ("finished", record.finished.strftime(TIME_FORMAT)),
        ("determinism", record.determinism),
        ("record", path.as_posix()),
    ]
    return [(name, fact) for name, fact in facts if not fact.startswith(show.NONE)]


def _confusion(rows: Sequence[Prediction]) -> dict[str, object]:
    """Counts by reference (rows) and prediction (columns), or, of many labels, the most frequent confusions."""
    pairs = Counter((str(row.reference), str(row.prediction)) for row in rows)
    labels = distinct(*pairs)
    if len(labels) <= LABELS:
        return {
            "labels": labels,
            "counts": [[pairs[reference, prediction] for prediction in labels] for reference in labels],
        }
    frequent = [(pair, count) for pair, count in pairs.most_common() if pair[0] != pair[1]][:SHOWN]
    return {"frequent": [[reference, prediction, count] for (reference, prediction), count in frequent]}
