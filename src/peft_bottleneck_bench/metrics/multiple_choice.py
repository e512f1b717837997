"""Accuracy of multiple choice by likelihood."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import numpy as np

from .base import FloatArray, Metric, Score, safe_divide


class MultipleChoice(Metric):
    """The number of the right choice, and as a prediction a pair: the most likely choice, and the most likely one for
    its length.

    - accuracy, accuracy_norm: share of examples in which the first, and the second, of the pair is right.
    """

    scores = (Score("accuracy"), Score("accuracy_norm"))
    types = ((datasets.Value("int64"), datasets.List(datasets.Value("int64"))),)
    citation_key = "gao2021framework"

    @property
    def signature(self) -> str:
        return "log-likelihood|norm:characters"

    def problem(self, value: object, *, reference: bool = False) -> str | None:
        if reference:
            return None if isinstance(value, int) else "expected the number of a choice"
        sound = isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(n, int) for n in value)
        return None if sound else "expected two numbers of choices"

    def _compute(self, references: Sequence[object], predictions: Sequence[object]) -> dict[str, float]:
        right = np.asarray(predictions) == np.asarray(references)[:, None]
        return dict(zip(("accuracy", "accuracy_norm"), right.mean(0).tolist(), strict=True))

    def statistics(self, references: Sequence[object], predictions: Sequence[object]) -> FloatArray:
        """Whether the example is right, and 1."""
        self.check(references, predictions)
        column = 0 if self.main == "accuracy" else 1
        right = np.asarray(predictions)[:, column] == np.asarray(references)
        return np.stack([right.astype(np.float64), np.ones(len(references))], axis=1)

    def score(self, sums: FloatArray) -> FloatArray:
        return safe_divide(sums[..., 0], sums[..., 1])
