"""The samples that a ranking needs, read from the prediction files of a board's runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import metrics, records
from ..records import Record
from ..statistics import Sample, resampled_scores


class NotComparable(Exception):
    """The runs cannot be compared example by example; says why."""


def samples(methods: Mapping[str, Mapping[Path, Record]]) -> dict[str, Sample]:
    """One sample per method, from all of its runs.

    Raises:
        NotComparable: the metric knows no examples, or a prediction file is missing or of other examples.
    """
    runs = {path: record for method in methods.values() for path, record in method.items()}
    record = next(iter(runs.values()))
    if record.metric.name not in metrics.METRICS:
        raise NotComparable(f"the metric '{record.metric.name}' cannot be resampled by example")
    references: list[Any] = []
    predictions: dict[Path, list[Any]] = {}
    for path, run in runs.items():
        rows = test_rows(path, run)
        predictions[path] = [row.prediction for row in rows]
        found = [row.reference for row in rows]
        references = references or found
        if found != references:
            raise NotComparable(f"{path} was scored on other examples than {next(iter(runs))}")
    metric = metrics.METRICS[record.metric.name](**dict[str, Any](record.metric.options))
    drawn = dict(zip(runs, resampled_scores(metric, references, list(predictions.values())), strict=True))
    return {
        name: Sample(
            scores=np.array([run.test_score for run in method.values()]),
            resampled=np.stack([drawn[path] for path in method]),
            predictions=[predictions[path] for path in method],
        )
        for name, method in methods.items()
    }


def test_rows(path: Path, record: Record) -> list[records.Prediction]:
    """The predictions on the test split of the run whose record lies at `path`, in the order of the examples.

    Raises:
        NotComparable: there are none.
    """
    if record.predictions is None:
        raise NotComparable(f"{path} names no predictions")
    try:
        rows = records.read_predictions(path.parent / record.predictions)
    except (OSError, ValueError) as error:
        raise NotComparable(str(error)) from error
    rows = sorted((row for row in rows if row.split == "test"), key=lambda row: row.index)
    if not rows:
        raise NotComparable(f"{path.parent / record.predictions} has no rows of the test split")
    return rows
