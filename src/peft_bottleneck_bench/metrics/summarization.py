"""ROUGE-1, ROUGE-2 and ROUGE-L with stemming, by rouge-score."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from rouge_score.rouge_scorer import RougeScorer

from .base import Figure, FloatArray, Metric, safe_divide


class Summarization(Metric):
    """One text per example (Lin 2004). Each figure is the mean over examples of an F-measure in [0, 1]: of unigrams,
    of bigrams, of the longest common subsequence. Words are stemmed by Porter's rules, which are for English.
    """

    figures = (Figure("rougeL"), Figure("rouge1"), Figure("rouge2"))
    citation_key = "lin2004rouge"

    @property
    def signature(self) -> str:
        return f"rouge-score:{version('rouge-score')}|stemmer:porter|mean of F-measures"

    def _compute(self, references: Sequence[Any], predictions: Sequence[Any]) -> dict[str, float]:
        return {
            figure.name: float(np.mean(_f_measures(figure.name, references, predictions))) for figure in self.figures
        }

    def statistics(self, references: Sequence[Any], predictions: Sequence[Any]) -> FloatArray:
        """The example's F-measure, and 1."""
        self.check(references, predictions)
        values = _f_measures(self.main, references, predictions)
        return np.stack([values, np.ones_like(values)], axis=1)

    def score(self, sums: FloatArray) -> FloatArray:
        return safe_divide(sums[..., 0], sums[..., 1])


def _f_measures(figure: str, references: Sequence[str], predictions: Sequence[str]) -> FloatArray:
    scorer = RougeScorer([figure], use_stemmer=True)
    pairs = zip(references, predictions, strict=True)
    return np.array([scorer.score(reference, prediction)[figure].fmeasure for reference, prediction in pairs])
