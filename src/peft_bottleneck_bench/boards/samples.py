"""The predictions of a board's runs on their common test examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from .. import metrics, records
from ..errors import UserError
from ..metrics import Metric
from ..records import Record
from ..statistics import FloatArray, Sample, resampled_scores

SHOWN = 3


class NotComparable(Exception):
    """The runs cannot be compared example by example; says why."""


@dataclass
class Tests:
    """The predictions of a board's runs on the test split.

    Args:
        metric: None for a metric of the Hub, which does not score single examples.
        predictions: by record, in the order of `references`.
        statistics: for runs without texts: the contribution of each example to the main score.
        problems: why a run has no predictions.
    """

    metric: Metric | None = None
    references: list[JsonValue] = field(default_factory=list)
    predictions: dict[Path, list[JsonValue]] = field(default_factory=dict)
    statistics: dict[Path, FloatArray] = field(default_factory=dict)
    problems: dict[Path, str] = field(default_factory=dict)

    def contributions(self, run: Sequence[Path]) -> FloatArray:
        """The contribution of each example of a run to the main score: [examples, k]."""
        (path,) = run
        if path in self.statistics:
            return self.statistics[path]
        assert self.metric is not None  # a run has predictions only where there is one
        return self.metric.statistics(self.references, self.predictions[path])

    def score(self, predictions: list[JsonValue]) -> float | None:
        """The main score of `predictions`; None without a metric, or for a run without texts."""
        if self.metric is None or self.statistics:
            return None
        return float(self.metric.score(self.metric.statistics(self.references, predictions).sum(axis=0)))


def read_tests(runs: Mapping[Path, Record]) -> Tests:
    """The predictions of `runs`, which share a metric."""
    tests = Tests()
    for path, record in runs.items():
        try:
            tests.metric = tests.metric or _metric(record)
            rows = test_rows(path, record)
            references, predictions = [row.reference for row in rows], [row.prediction for row in rows]
            counted = [row.statistics for row in rows if row.statistics is not None]
            if counted:
                tests.statistics[path] = _statistics(counted, len(rows))
            else:
                tests.metric.check(references, predictions)
            if tests.predictions and references != tests.references:
                raise NotComparable(f"scored on other examples than {next(iter(tests.predictions)).name}")
        except (NotComparable, ValueError, TypeError) as error:
            tests.problems[path] = str(error)
        else:
            tests.references, tests.predictions[path] = references, predictions
    return tests


def samples(methods: Mapping[str, Mapping[Path, Record]], tests: Tests) -> dict[str, Sample]:
    """One sample per method, from all of its runs.

    Raises:
        NotComparable: a run has no predictions that can be compared; names the first few.
    """
    paths = [path for runs in methods.values() for path in runs]
    if tests.metric is None:
        raise NotComparable(tests.problems[paths[0]])
    problems = [
        f"{name}, seed {record.seed}: {tests.problems[path]}"
        for name, runs in methods.items()
        for path, record in runs.items()
        if path in tests.problems
    ]
    if problems:
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise NotComparable("; ".join(problems[:SHOWN]) + more)
    try:
        with np.errstate(all="ignore"):
            drawn = resampled_scores(_Resampled(tests, tests.metric), tests.references, [[path] for path in paths])
    except (ValueError, TypeError, ArithmeticError, IndexError) as error:
        raise NotComparable(f"the predictions cannot be scored: {error}") from error
    if not np.isfinite(drawn).all():
        raise NotComparable("the predictions are too large to compute with")
    by_path = dict(zip(paths, drawn, strict=True))
    return {
        name: Sample(
            scores=np.array([record.test_score for record in runs.values()]),
            resampled=np.stack([by_path[path] for path in runs]),
            predictions=[tests.predictions[path] for path in runs],
        )
        for name, runs in methods.items()
    }


@dataclass(frozen=True)
class _Resampled:
    """The metric of `tests` over runs that are given by their records."""

    tests: Tests
    metric: Metric

    def statistics(self, references: Sequence[object], run: Sequence[Path]) -> FloatArray:
        return self.tests.contributions(run)

    def score(self, sums: FloatArray) -> FloatArray:
        return self.metric.score(sums)


def _statistics(counted: Sequence[Sequence[float]], rows: int) -> FloatArray:
    """[rows, k], if every row has as many."""
    if len(counted) < rows or len({len(row) for row in counted}) > 1:
        raise NotComparable("only some examples have statistics, or not as many as others")
    return np.array(counted, dtype=np.float64)


def _metric(record: Record) -> Metric:
    name = record.metric.name
    if name not in metrics.METRICS:
        raise NotComparable(f"the metric '{name}' cannot be resampled by example")
    try:
        metric = metrics.load(name, **record.metric.options)
    except (UserError, ValueError, TypeError, AttributeError) as error:
        raise NotComparable(f"the metric '{name}' does not take the options of the record: {error}") from error
    if not isinstance(metric, Metric) or metric.main != record.main_metric:
        raise NotComparable(f"the metric '{name}' with these options gives no '{record.main_metric}'")
    return metric


def test_rows(path: Path, record: Record) -> list[records.Prediction]:
    """The predictions on the test split of the run whose record is at `path`, in the order of the examples.

    Raises:
        NotComparable: there are none.
    """
    if record.predictions is None:
        raise NotComparable("the record names no predictions")
    file = path.parent / record.predictions
    try:
        rows = records.read_predictions(file)
    except FileNotFoundError as error:
        raise NotComparable(f"{file.name} is missing") from error
    except OSError as error:
        raise NotComparable(f"{file.name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise NotComparable(str(error).replace(str(file), file.name)) from error
    rows = sorted((row for row in rows if row.split == "test"), key=lambda row: row.index)
    if not rows:
        raise NotComparable(f"{file.name} has no rows of the test split")
    return rows
