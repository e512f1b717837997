"""Micro- and macro-F1 over the relations, by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import sklearn
from sklearn.metrics import accuracy_score, f1_score

from .base import Answers, FloatArray, Metric, ReportRow, Score, safe_divide
from .classification import label_problem, label_report
from .counts import distinct, f1, label_counts, mean_over, split_counts


class RelationExtraction(Metric):
    """One relation per example.

    Args:
        negative_label: the label that says "no relation", which no F1 counts (TACRED's `no_relation`); None if the
            task has none.

    - micro_f1: over all examples and relations; without a negative label it equals accuracy.
    - macro_f1: mean F1 over the relations that occur in references or predictions.
    - accuracy: share of examples with the right label, the negative one included.
    """

    scores = (Score("micro_f1"), Score("macro_f1"), Score("accuracy"))
    types = tuple((datasets.Value(name), datasets.Value(name)) for name in ("string", "int64"))
    citation_key = "zhang2017tacred; pedregosa2011scikit"

    def __init__(self, *, main: str | None = None, negative_label: str | int | None = None) -> None:
        super().__init__(main=main)
        self.negative_label = negative_label

    @property
    def options(self) -> dict[str, object]:
        return {**super().options, "negative_label": self.negative_label}

    @property
    def signature(self) -> str:
        return f"scikit-learn:{sklearn.__version__}|negative_label:{self.negative_label}"

    def problem(self, value: object, *, reference: bool = False) -> str | None:
        return label_problem(value)

    def _compute(self, references: Sequence[object], predictions: Sequence[object]) -> dict[str, float]:
        relations = self._relations(references, predictions)

        def averaged(average: str) -> float:
            if not relations:  # only the negative label occurs; scikit-learn would take none as all
                return 0.0
            return float(f1_score(references, predictions, labels=relations, average=average, zero_division=0))

        return {
            "micro_f1": averaged("micro"),
            "macro_f1": averaged("macro"),
            "accuracy": accuracy_score(references, predictions),
        }

    def report(self, references: Answers, predictions: Answers) -> list[ReportRow]:
        return label_report(references, predictions)

    def statistics(self, references: Sequence[object], predictions: Sequence[object]) -> FloatArray:
        self.check(references, predictions)
        labels = distinct(references, predictions)
        if self.main != "accuracy":
            labels = self._relations(references, predictions)
        return label_counts(references, predictions, labels)

    def score(self, sums: FloatArray) -> FloatArray:
        correct, predicted, gold = split_counts(sums)
        if self.main == "accuracy":
            return safe_divide(correct.sum(-1), gold.sum(-1))
        if self.main == "micro_f1":
            return f1(correct.sum(-1), predicted.sum(-1), gold.sum(-1))
        return mean_over(f1(correct, predicted, gold), predicted + gold > 0)

    def _relations(self, references: Sequence[object], predictions: Sequence[object]) -> list[object]:
        return [label for label in distinct(references, predictions) if label != self.negative_label]
