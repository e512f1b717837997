"""The official score of SemEval-2010 task 8, by the rules of its organisers' scorer, version 1.2."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import numpy as np

from ..semeval import LABELS, OTHER, RELATIONS
from .base import Answers, FloatArray, Metric, ReportRow, Score, safe_divide
from .classification import label_report
from .counts import f1, mean_over, split_counts


class Semeval2010Task8(Metric):
    """One of the task's 19 labels per example (Hendrickx et al. 2010), scored as "(9+1)-way evaluation with
    directionality taken into account".

    - macro_f1: mean over the relations that occur in the references, without Other. A relation's precision is its
      examples with the right relation and direction over all that were predicted to have it in either direction; its
      recall is the same over all that have it. So a wrong direction counts against both.
    - accuracy: share of examples with the right relation and direction, Other included.

    Both in [0, 1], where the organisers' scorer prints per cent.
    """

    scores = (Score("macro_f1"), Score("accuracy"))
    types = ((datasets.Value("string"), datasets.Value("string")),)
    citation_key = "hendrickx2010semeval"

    @property
    def signature(self) -> str:
        return "semeval2010_task8_scorer:1.2|(9+1)-way|directed"

    def problem(self, value: object, *, reference: bool = False) -> str | None:
        return None if value in LABELS else f"unknown relation: choose from {', '.join(LABELS)}"

    def _compute(self, references: Answers, predictions: Answers) -> dict[str, float]:
        sums = self._counts(references, predictions).sum(0)
        return {"macro_f1": float(_macro_f1(sums)), "accuracy": float(_accuracy(sums))}

    def report(self, references: Answers, predictions: Answers) -> list[ReportRow]:
        return label_report(references, predictions)

    def statistics(self, references: Answers, predictions: Answers) -> FloatArray:
        self.check(references, predictions)
        return self._counts(references, predictions)

    def score(self, sums: FloatArray) -> FloatArray:
        return _macro_f1(sums) if self.main == "macro_f1" else _accuracy(sums)

    def _counts(self, references: Sequence[str], predictions: Sequence[str]) -> FloatArray:
        """Correct, predicted and gold per undirected relation and Other, where correct minds the direction."""
        column = {relation: index for index, relation in enumerate((*RELATIONS, OTHER))}
        counts = np.zeros((len(references), 3, len(column)))
        for row, reference, prediction in zip(counts, references, predictions, strict=True):
            gold = column[reference.partition("(")[0]]
            row[0, gold] = reference == prediction
            row[1, column[prediction.partition("(")[0]]] = 1
            row[2, gold] = 1
        return counts.reshape(len(references), -1)


def _macro_f1(sums: FloatArray) -> FloatArray:
    correct, predicted, gold = (counts[..., : len(RELATIONS)] for counts in split_counts(sums))
    return mean_over(f1(correct, predicted, gold), gold > 0)


def _accuracy(sums: FloatArray) -> FloatArray:
    correct, _, gold = split_counts(sums)
    return safe_divide(correct.sum(-1), gold.sum(-1))
