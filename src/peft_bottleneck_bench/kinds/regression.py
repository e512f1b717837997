"""A number for a text or a pair of texts, by mean squared error.

The model learns `(score - center) / spread`, with the mean and the standard deviation of the training scores. A fresh
head gives values near 0. With scores of 1 to 5 as they are, the first steps move the whole model towards their mean,
and methods with many weights do not recover from that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .base import Answers, Context, Encoded, Example, Outputs, encode_texts, texts_of
from .classification import SequenceKind


class Regression(SequenceKind):
    """Columns `text`, optionally `text_pair`, and `score`, a number."""

    name = "regression"
    columns = ("text", "score")
    metrics = ("regression",)

    def example(self, row: Example) -> Example:
        texts_of(row)
        try:
            score = float(row["score"])
        except (TypeError, ValueError):
            score = math.nan
        if isinstance(row["score"], bool) or not math.isfinite(score):
            raise ValueError(f"'score' must be a number, found {row['score']!r}")
        return {**row, "score": score}

    def scale(self, examples: Sequence[Example]) -> tuple[float, float]:
        scores = np.array([example["score"] for example in examples])
        with np.errstate(over="ignore", invalid="ignore"):
            center, spread = float(scores.mean()), float(scores.std())
        if not math.isfinite(spread):
            raise ValueError(f"'score': up to {max(abs(scores)):g} in train, too large for a standard deviation")
        return center, spread or 1.0

    def stand_in(self, row: Example, context: Context) -> object:
        return 0.0

    def model_options(self, context: Context) -> dict[str, object]:
        return {"num_labels": 1, "problem_type": "regression"}

    def encode(self, examples: Sequence[Example], context: Context, *, training: bool) -> Encoded:
        columns, cut = encode_texts(examples, context)
        columns["labels"] = [(example["score"] - context.center) / context.spread for example in examples]
        return Encoded(columns, range(len(examples)), cut)

    def predictions(
        self, outputs: Outputs, encoded: Encoded, examples: Sequence[Example], context: Context
    ) -> Answers:
        return [float(output[0]) * context.spread + context.center for output in outputs]
