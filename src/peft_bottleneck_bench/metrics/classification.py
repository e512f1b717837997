"""Accuracy, macro-F1 and Matthews correlation, by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
import sklearn
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, precision_recall_fscore_support

from .base import Figure, FloatArray, Metric, ReportRow, safe_divide
from .counts import distinct, f1, label_counts, mean_over, split_counts


class Classification(Metric):
    """One label per example, by name or number.

    - accuracy: share of examples with the right label.
    - macro_f1: mean F1 over the labels that occur in references or predictions.
    - matthews_correlation: Gorodkin's R_K, in [-1, 1], 0 for any constant prediction.
    """

    figures = (Figure("accuracy"), Figure("macro_f1"), Figure("matthews_correlation", worst=-1.0))
    types = (datasets.Value("string"), datasets.Value("int64"))
    citation_key = "pedregosa2011scikit; gorodkin2004comparing"

    @property
    def signature(self) -> str:
        return f"scikit-learn:{sklearn.__version__}"

    def problem(self, value: Any) -> str | None:
        return label_problem(value)

    def _compute(self, references: Sequence[Any], predictions: Sequence[Any]) -> dict[str, float]:
        return {
            "accuracy": accuracy_score(references, predictions),
            "macro_f1": f1_score(references, predictions, average="macro", zero_division=0),
            # One label everywhere is perfect agreement without information: scikit-learn warns and gives 0.
            "matthews_correlation": (
                matthews_corrcoef(references, predictions) if len(distinct(references, predictions)) > 1 else 0.0
            ),
        }

    def report(self, references: Sequence[Any], predictions: Sequence[Any]) -> list[ReportRow]:
        return label_report(references, predictions)

    def statistics(self, references: Sequence[Any], predictions: Sequence[Any]) -> FloatArray:
        self.check(references, predictions)
        return label_counts(references, predictions, distinct(references, predictions))

    def score(self, sums: FloatArray) -> FloatArray:
        correct, predicted, gold = split_counts(sums)
        if self.main == "accuracy":
            return safe_divide(correct.sum(-1), gold.sum(-1))
        if self.main == "macro_f1":
            return mean_over(f1(correct, predicted, gold), predicted + gold > 0)
        # R_K = (c·s - Σ p_k t_k) / sqrt((s² - Σ p_k²)(s² - Σ t_k²)), with c correct of s examples.
        total = gold.sum(-1)
        covariance = correct.sum(-1) * total - (predicted * gold).sum(-1)
        spread = (total**2 - (predicted**2).sum(-1)) * (total**2 - (gold**2).sum(-1))
        return safe_divide(covariance, np.sqrt(spread))


def label_problem(value: Any) -> str | None:
    """What is wrong with `value` as a label; None if nothing."""
    return None if isinstance(value, (str, int, np.integer)) else "expected a label's name or number"


def label_report(references: Sequence[Any], predictions: Sequence[Any]) -> list[ReportRow]:
    """Precision, recall, F1 and support of each label."""
    labels = distinct(references, predictions)
    columns = precision_recall_fscore_support(references, predictions, labels=labels, zero_division=0)
    return [
        {"label": str(label), "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for label, p, r, f, n in zip(labels, *columns, strict=True)
    ]
