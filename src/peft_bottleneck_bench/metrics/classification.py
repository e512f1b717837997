"""Accuracy, precision, recall, F1 and Matthews correlation, by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import numpy as np
import sklearn
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, precision_recall_fscore_support

from ..errors import UserError
from .base import Answers, FloatArray, Metric, ReportRow, Score, safe_divide
from .counts import RATIOS, averaged, distinct, label_counts, split_counts

AVERAGES = ("micro", "macro", "weighted")


class Classification(Metric):
    """One label per example, by name or number.

    - accuracy: share of examples with the right label.
    - macro_f1: mean F1 over the labels that occur in references or predictions.
    - matthews_correlation: Gorodkin's R_K, in [-1, 1], 0 for any constant prediction.
    - micro_…, macro_… and weighted_… of precision, recall and f1: over all decisions, as the mean over the labels that
      occur, and as their mean by support. The first is the accuracy.
    - precision, recall and f1 of the label `positive` alone.

    The first three are given always, the others where they are the main score or `positive` is given.

    Args:
        positive: the label that the last three are about.
    """

    scores = (
        Score("accuracy"),
        Score("macro_f1"),
        Score("matthews_correlation", worst=-1.0),
        *(Score(f"{average}_{name}") for average in AVERAGES for name in RATIOS if (average, name) != ("macro", "f1")),
        *(Score(name) for name in RATIOS),
    )
    types = tuple((datasets.Value(name), datasets.Value(name)) for name in ("string", "int64"))
    citation_key = "pedregosa2011scikit; gorodkin2004comparing"

    def __init__(self, *, main: str | None = None, positive: str | int | None = None) -> None:
        super().__init__(main=main)
        self.positive = positive
        if self.main in RATIOS and positive is None:
            raise UserError(
                f"metric '{self.name}': {self.main} is of one label: name it by metric_options: {{positive: yes}}; "
                f"of all labels there are {', '.join(f'{average}_{self.main}' for average in AVERAGES)}"
            )

    @property
    def options(self) -> dict[str, object]:
        return super().options if self.positive is None else {**super().options, "positive": self.positive}

    @property
    def signature(self) -> str:
        return f"scikit-learn:{sklearn.__version__}" + ("" if self.positive is None else f"|positive:{self.positive}")

    def problem(self, value: object, *, reference: bool = False) -> str | None:
        return label_problem(value)

    def _compute(self, references: Sequence[object], predictions: Sequence[object]) -> dict[str, float]:
        scores = {
            "accuracy": accuracy_score(references, predictions),
            "macro_f1": f1_score(references, predictions, average="macro", zero_division=0),
            # One label everywhere is perfect agreement without information: scikit-learn warns and gives 0.
            "matthews_correlation": (
                matthews_corrcoef(references, predictions) if len(distinct(references, predictions)) > 1 else 0.0
            ),
        }
        wanted = [*(RATIOS if self.positive is not None else ()), *({self.main} - {*scores, *RATIOS})]
        for name in wanted:
            average, _, ratio = name.rpartition("_")
            labels = None if average else [self.positive]
            column = precision_recall_fscore_support(
                references, predictions, labels=labels, average=average or "micro", zero_division=0
            )
            scores[name] = column[RATIOS.index(ratio)]
        return scores

    def report(self, references: Answers, predictions: Answers) -> list[ReportRow]:
        return label_report(references, predictions)

    def statistics(self, references: Sequence[object], predictions: Sequence[object]) -> FloatArray:
        self.check(references, predictions)
        labels = [self.positive] if self.main in RATIOS else distinct(references, predictions)
        return label_counts(references, predictions, labels)

    def score(self, sums: FloatArray) -> FloatArray:
        correct, predicted, gold = split_counts(sums)
        if self.main == "accuracy":
            return safe_divide(correct.sum(-1), gold.sum(-1))
        if self.main != "matthews_correlation":
            return averaged(self.main, correct, predicted, gold)
        # R_K = (c·s - Σ p_k t_k) / sqrt((s² - Σ p_k²)(s² - Σ t_k²)), with c correct of s examples.
        total = gold.sum(-1)
        covariance = correct.sum(-1) * total - (predicted * gold).sum(-1)
        spread = (total**2 - (predicted**2).sum(-1)) * (total**2 - (gold**2).sum(-1))
        return safe_divide(covariance, np.sqrt(spread))


def label_problem(value: object) -> str | None:
    """What is wrong with `value` as a label; None if nothing."""
    return None if isinstance(value, (str, int, np.integer)) else "expected a label's name or number"


def label_report(references: Sequence[object], predictions: Sequence[object]) -> list[ReportRow]:
    """Precision, recall, F1 and support of each label."""
    labels = distinct(references, predictions)
    columns = precision_recall_fscore_support(references, predictions, labels=labels, zero_division=0)
    return [
        {"label": str(label), "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for label, p, r, f, n in zip(labels, *columns, strict=True)
    ]
