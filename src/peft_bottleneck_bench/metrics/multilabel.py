"""Precision, recall and F1 of sets of labels, by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
import sklearn
from sklearn.metrics import precision_recall_fscore_support

from .base import Answers, FloatArray, Metric, ReportRow, Score, safe_divide
from .counts import RATIOS, averaged, split_counts

_AVERAGES = ("micro", "macro", "weighted")
_NAMES = tuple(f"{average}_{ratio}" for ratio in reversed(RATIOS) for average in _AVERAGES)


class Multilabel(Metric):
    """A list of labels per example, in any order.

    - micro_…, macro_… and weighted_… of f1, recall and precision: over all decisions, as the mean over the labels that
      occur in references or predictions, and as their mean by support.
    - sample_f1: the mean over examples of the F1 of its labels; 1 where there are none on either side.
    - subset_accuracy: share of examples with exactly the right labels.
    """

    scores = (*(Score(name) for name in _NAMES), Score("sample_f1"), Score("subset_accuracy"))
    types = ((datasets.List(datasets.Value("string")), datasets.List(datasets.Value("string"))),)
    citation_key = "pedregosa2011scikit"

    @property
    def signature(self) -> str:
        return f"scikit-learn:{sklearn.__version__}"

    def problem(self, value: object, *, reference: bool = False) -> str | None:
        sound = isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)
        return None if sound else "expected a list of labels"

    def _compute(self, references: Sequence[object], predictions: Sequence[object]) -> dict[str, float]:
        labels = _labels(references, predictions)
        gold, said = _multi_hot(references, labels), _multi_hot(predictions, labels)
        scores = dict.fromkeys(_NAMES, 0.0)
        for average in _AVERAGES if labels else ():
            values = precision_recall_fscore_support(gold, said, average=average, zero_division=0)
            scores.update({f"{average}_{ratio}": value for ratio, value in zip(RATIOS, values, strict=False)})
        return {
            **scores,
            "sample_f1": float(_sample_f1(references, predictions).mean()),
            "subset_accuracy": float(_same(references, predictions).mean()),
        }

    def report(self, references: Answers, predictions: Answers) -> list[ReportRow]:
        labels = _labels(references, predictions)
        if not labels:
            return []
        columns = precision_recall_fscore_support(
            _multi_hot(references, labels), _multi_hot(predictions, labels), zero_division=0
        )
        return [
            {"label": label, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
            for label, p, r, f, n in zip(labels, *columns, strict=True)
        ]

    def statistics(self, references: Answers, predictions: Answers) -> FloatArray:
        """Correct, predicted and gold of each label; or the example's value, and 1."""
        self.check(references, predictions)
        if self.main in ("sample_f1", "subset_accuracy"):
            of_each = _sample_f1 if self.main == "sample_f1" else _same
            values = of_each(references, predictions)
            return np.stack([values, np.ones_like(values)], axis=1)
        labels = _labels(references, predictions)
        gold, said = _multi_hot(references, labels), _multi_hot(predictions, labels)
        return np.concatenate([gold * said, said, gold], axis=1).astype(np.float64)

    def score(self, sums: FloatArray) -> FloatArray:
        if self.main in ("sample_f1", "subset_accuracy"):
            return safe_divide(sums[..., 0], sums[..., 1])
        return averaged(self.main, *split_counts(sums))


def _labels(*sides: Answers) -> list[str]:
    return sorted({name for side in sides for names in side for name in names})


def _multi_hot(side: Answers, labels: Sequence[str]) -> Any:
    return np.array([[name in names for name in labels] for names in side], dtype=np.int64).reshape(len(side), -1)


def _sample_f1(references: Answers, predictions: Answers) -> FloatArray:
    pairs = [(set(gold), set(said)) for gold, said in zip(references, predictions, strict=True)]
    values = [2 * len(gold & said) / (len(gold) + len(said)) if gold or said else 1.0 for gold, said in pairs]
    return np.array(values, dtype=np.float64)


def _same(references: Answers, predictions: Answers) -> FloatArray:
    pairs = zip(references, predictions, strict=True)
    return np.array([set(gold) == set(said) for gold, said in pairs], dtype=np.float64)
