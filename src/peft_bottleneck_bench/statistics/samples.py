"""Scores of a method's runs, on the test examples and on resamples of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

RESAMPLES = 1000


Reference = TypeVar("Reference", contravariant=True)
Answer = TypeVar("Answer", contravariant=True)


class Resampled(Protocol[Reference, Answer]):
    """What resampling needs of a metric; see `metrics.Metric`."""

    def statistics(self, references: Sequence[Reference], predictions: Sequence[Answer], /) -> FloatArray: ...
    def score(self, sums: FloatArray) -> FloatArray: ...


@dataclass(frozen=True)
class Sample:
    """The runs of one method in one table: the same model, data and metric, one run per seed.

    Args:
        scores: of the test examples, [seeds].
        resampled: scores of the resampled test examples, [seeds, resamples]; the r-th resample is the same for every
            run in the table.
        predictions: of each seed, for each example.
    """

    scores: FloatArray
    resampled: FloatArray
    predictions: Sequence[Sequence[object]]

    @property
    def is_constant(self) -> bool:
        """Whether all seeds gave the same predictions, as they do for a model that is not trained."""
        return all(predictions == self.predictions[0] for predictions in self.predictions)


def mean_and_std(scores: Sequence[float]) -> tuple[float, float | None]:
    """The mean, and the sample standard deviation (n − 1), which a single score does not have."""
    return float(np.mean(scores)), float(np.std(scores, ddof=1)) if len(scores) > 1 else None


def resampled_scores(
    metric: Resampled[Reference, Answer],
    references: Sequence[Reference],
    runs: Sequence[Sequence[Answer]],
    *,
    seed: int = 0,
) -> FloatArray:
    """The main score of every run's predictions on `RESAMPLES` draws of the examples with replacement.

    The draws depend on the number of examples and on `seed` alone, so scores of runs on the same examples are paired.

    Returns:
        [runs, RESAMPLES]
    """
    n, generator = len(references), np.random.default_rng(seed)
    statistics = [metric.statistics(references, predictions) for predictions in runs]
    scores = np.empty((len(runs), RESAMPLES))
    step = max(1, 2**22 // n)  # bounds the weights to 32 MiB
    for start in range(0, RESAMPLES, step):
        count = min(step, RESAMPLES - start)
        draws = generator.integers(n, size=(count, n)) + n * np.arange(count)[:, None]
        weights = np.bincount(draws.ravel(), minlength=count * n).reshape(count, n).astype(np.float64)
        for row, contributions in zip(scores, statistics, strict=True):
            row[start : start + count] = metric.score(weights @ contributions)
    return scores
