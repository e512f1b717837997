"""The base class of the package's metrics."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import datasets
import evaluate
import numpy as np

from ..errors import UserError, suggest
from ..statistics.samples import FloatArray as FloatArray

Answers = Sequence[Any]  # one entry per example, of the metric's types
ReportRow = dict[str, Any]
MetricTypes = tuple[tuple[object, object], ...]


@dataclass(frozen=True)
class Score:
    """A score that a metric gives: its name and its range.

    Args:
        best: the value of a perfect prediction; smaller is better where it is 0. Published tables need it to bring
            scores in [0, 1] and scores in [0, 100] to one scale.
        worst: the value at the other end; the interval of a mean ends there.
    """

    name: str
    best: float = 1.0
    worst: float = 0.0

    @property
    def greater_is_better(self) -> bool:
        return self.best > 0

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the greatest value."""
        return min(self.best, self.worst), max(self.best, self.worst)


class Metric(evaluate.Metric, ABC):  # type: ignore[misc]  # evaluate has no types
    """A metric over references and predictions, one of each per example.

    Args:
        main: the score that the task is judged by; the first of `scores` if not given.

    Raises:
        UserError: the metric has no such score.
    """

    #: The metric's scores, the usual main score first.
    scores: ClassVar[tuple[Score, ...]]
    #: The types of a reference and a prediction, as `datasets` features; several pairs where the metric takes several.
    types: ClassVar[MetricTypes]
    citation_key: ClassVar[str]

    def __init__(self, *, main: str | None = None) -> None:
        # In memory: no shared cache file that parallel runs would have to lock.
        super().__init__(keep_in_memory=True)
        by_name = {score.name: score for score in self.scores}
        if main is not None and main not in by_name:
            raise UserError(f"metric '{self.name}' has no score '{main}': {suggest(str(main), by_name)}")
        self.main_score = by_name[main] if main else self.scores[0]

    @property
    def main(self) -> str:
        """The name of the main score."""
        return self.main_score.name

    @property
    def greater_is_better(self) -> bool:
        """Whether a greater main score is better."""
        return self.main_score.greater_is_better

    @property
    def options(self) -> dict[str, object]:
        """The options with which `load` makes this metric again."""
        return {"main": self.main}

    @classmethod
    def defaults(cls, references: Answers) -> dict[str, Any]:
        """The options that `references` call for where a task names none."""
        return {}

    @property
    @abstractmethod
    def signature(self) -> str:
        """How the scores are computed, down to the scorer's version: stated with any score."""

    @abstractmethod
    def statistics(self, references: Sequence[object], predictions: Sequence[object]) -> FloatArray:
        """The contribution of each example to the main score: [examples, k]. The score is a function of their sum.

        Raises:
            ValueError: the input is not what the metric takes; names what and where.
        """

    @abstractmethod
    def score(self, sums: FloatArray) -> FloatArray:
        """The main score of every (weighted) sum of `statistics` over examples: [..., k] to [...]."""

    def report(self, references: Answers, predictions: Answers) -> list[ReportRow]:
        """Rows of `label`, `precision`, `recall`, `f1`, `support` per class; none where there are no classes."""
        return []

    def compute(self, *, references: Answers, predictions: Answers) -> dict[str, float]:
        """All scores by name.

        Raises:
            ValueError: the input is not what the metric takes; names what and where.
        """
        self.check(references, predictions)
        scores = evaluate.Metric.compute(self, references=list(references), predictions=list(predictions))
        return {name: float(score) for name, score in scores.items()}

    def check(self, references: Sequence[object], predictions: Sequence[object]) -> None:
        """Raises ValueError, naming what and where, unless the metric takes the input."""
        if len(references) != len(predictions):
            raise ValueError(f"{self.name}: {len(references)} references but {len(predictions)} predictions")
        if not len(references):
            raise ValueError(f"{self.name}: there are no examples to score")
        for side, values in (("reference", references), ("prediction", predictions)):
            for index, value in enumerate(values):
                if problem := self.problem(value, reference=side == "reference"):
                    raise ValueError(f"{self.name}: {side} {index} is {value!r}: {problem}")

    @abstractmethod
    def problem(self, value: object, *, reference: bool = False) -> str | None:
        """What is wrong with one prediction, or with one `reference`; None if nothing."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=type(self).__doc__ or "",
            citation=self.citation_key,
            inputs_description="",
            features=[
                datasets.Features({"references": of_reference, "predictions": of_prediction})
                for of_reference, of_prediction in self.types
            ],
        )

    @abstractmethod
    def _compute(self, references: Sequence[object], predictions: Sequence[object]) -> dict[str, float]: ...


def is_number(value: object) -> bool:
    """Whether `value` is a finite number."""
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and math.isfinite(value)


def safe_divide(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """`numerator / denominator`, and 0 where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    return np.divide(numerator, denominator, out=np.zeros(numerator.shape), where=denominator != 0)
