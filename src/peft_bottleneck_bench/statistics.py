"""What the data can say about methods that were scored on the same test examples.

A score has two sources of chance: the examples that happen to be in the test set, and the seed of the training run.
The estimated variance of a method's mean over its `S` seeds is

    V = σ²_seed / S + V_example,

where `σ²_seed` is the sample variance of its seeds' scores, and `V_example` the bootstrap covariance between the
scores of *different* seeds on resampled examples: noise in a single seed's predictions is then in the first term
alone and not counted twice (the two-way analysis of Owen 2007, "The pigeonhole bootstrap", with its excess removed).
The difference of two methods has the same form, with `V_example` of both less twice their covariance; one common
resampling pairs them example by example. Resampling the seeds themselves is of no use: of three seeds it sees a
variance a third too small, so the seeds enter by Student's t instead.

Tests and intervals take t quantiles with Welch and Satterthwaite's degrees of freedom. Two rules keep them honest
where data are few; both were chosen by simulation (see the tests). A method's seed variance is not taken below the
median of the table's methods: with two or three seeds, a variance that is small by luck is what makes false winners.
And the examples count as as many observations as there are examples that two methods predict differently.

With one seed per method only the examples speak, and what is found holds for these very runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

FloatArray = npt.NDArray[np.float64]

RESAMPLES = 1000
LEVEL = 0.95


class Resampled(Protocol):
    """What resampling needs of a metric; see `metrics.Metric`."""

    def statistics(self, references: Sequence[Any], predictions: Sequence[Any]) -> FloatArray: ...
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
    predictions: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Standing:
    """How one method does in its table.

    Args:
        std: over seeds; None with one seed.
        interval: of the expected score over examples and seeds, at `LEVEL`; None where nothing varies that it could be
            estimated from.
        ranks: the best and the worst rank that the tests leave possible: 1 + losses, methods − wins; None if untested.
        tier: 1 is the best; methods that the data cannot separate share one; None if untested.
    """

    mean: float
    std: float | None
    interval: tuple[float, float] | None = None
    ranks: tuple[int, int] | None = None
    tier: int | None = None


@dataclass(frozen=True)
class Ranking:
    """A table's methods, best first, and what is known of every pair, the better one named first.

    Args:
        p_values: adjusted for the number of pairs.
        differences: the interval of the first mean less the second at `LEVEL`, for this pair alone; None where nothing
            tells the two apart.
    """

    standings: dict[str, Standing]
    p_values: dict[tuple[str, str], float]
    differences: dict[tuple[str, str], tuple[float, float] | None]


def mean_and_std(scores: Sequence[float]) -> tuple[float, float | None]:
    """The mean, and the sample standard deviation (n − 1), which one score has not."""
    return float(np.mean(scores)), float(np.std(scores, ddof=1)) if len(scores) > 1 else None


def resampled_scores(
    metric: Resampled, references: Sequence[Any], runs: Sequence[Sequence[Any]], *, seed: int = 0
) -> FloatArray:
    """The main figure of every run's predictions on `RESAMPLES` draws of the examples with replacement.

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


def rank(
    samples: Mapping[str, Sample],
    *,
    greater_is_better: bool = True,
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> Ranking:
    """Orders methods by their mean and tells which of them the data separate.

    Every pair is tested two-sided at `1 − LEVEL`, with Holm's correction over all pairs (Holm 1979). Then, as in the
    tables of the WMT shared tasks (Kocmi et al. 2023, "Findings of the 2023 conference on machine translation"), the
    ordered methods are cut into tiers wherever every method above the cut differs significantly from every method
    below it. So a better mean never has a worse tier, methods that the data cannot separate never stand in different
    tiers, and if all methods are equal there is more than one tier with a probability of at most `1 − LEVEL`. A tier
    may hold separable methods, where others bridge them; `ranks` shows this.

    `limits` are the least and the greatest possible score: an interval of a mean ends there.
    """
    spread = _Spread(samples)
    sign = 1 if greater_is_better else -1
    order = sorted(samples, key=lambda name: (-sign * spread.mean[name], name))
    tests = {pair: spread.test(*pair) for pair in combinations(order, 2)}
    p_values = holm({pair: p_value for pair, (p_value, _) in tests.items()})
    beats = {pair for pair, p_value in p_values.items() if p_value < 1 - LEVEL}

    standings, tier = {}, 1
    for position, name in enumerate(order):
        if position and all((above, below) in beats for above in order[:position] for below in order[position:]):
            tier += 1
        losses, wins = (sum(pair[side] == name for pair in beats) for side in (1, 0))
        mean, std = mean_and_std(list(samples[name].scores))
        interval = spread.interval(name)
        if interval is not None:
            interval = max(interval[0], limits[0]), min(interval[1], limits[1])
        standings[name] = Standing(mean, std, interval, (1 + losses, len(order) - wins), tier)
    return Ranking(standings, p_values, {pair: difference for pair, (_, difference) in tests.items()})


def holm(p_values: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """P-values adjusted so that rejecting those below α errs anywhere with a probability of at most α (Holm 1979)."""
    adjusted, least = {}, 0.0
    for done, (pair, p_value) in enumerate(sorted(p_values.items(), key=lambda item: (item[1], item[0]))):
        least = max(least, min(1.0, p_value * (len(p_values) - done)))
        adjusted[pair] = least
    return {pair: adjusted[pair] for pair in p_values}


class _Spread:
    """The variances and covariances of all methods' means in a table."""

    def __init__(self, samples: Mapping[str, Sample]) -> None:
        self.samples = samples
        self.mean = {name: float(sample.scores.mean()) for name, sample in samples.items()}
        seed = {name: _seed_variance(sample) for name, sample in samples.items()}
        noisy = [variance for variance in seed.values() if variance > 0]
        floor = float(np.median(noisy)) if noisy else 0.0
        self.seed = {
            name: max(variance, floor) if len(samples[name].scores) > 1 and not _is_constant(samples[name]) else 0.0
            for name, variance in seed.items()
        }
        self.example = {name: _own_covariance(sample) for name, sample in samples.items()}

    def test(self, first: str, second: str) -> tuple[float, tuple[float, float] | None]:
        """The p-value of the difference between two methods' means, and its interval, which agree on 0.

        1 and None where fewer than two examples tell them apart.
        """
        a, b = self.samples[first], self.samples[second]
        differing = _differing_examples(a, b)
        shared = float(_covariance(a, b).mean())
        example = max(0.0, self.example[first] + self.example[second] - 2 * shared)
        error, freedom = self._error(example, differing - 1, first, second)
        if error == 0 or differing < 2:
            return 1.0, None
        difference = self.mean[first] - self.mean[second]
        half = error * float(student.ppf((1 + LEVEL) / 2, freedom))
        return float(2 * student.sf(abs(difference) / error, freedom)), (difference - half, difference + half)

    def interval(self, name: str) -> tuple[float, float] | None:
        examples = len(self.samples[name].predictions[0])
        error, freedom = self._error(max(0.0, self.example[name]), examples - 1, name)
        if error == 0 or examples < 2:
            return None
        half = error * float(student.ppf((1 + LEVEL) / 2, freedom))
        return self.mean[name] - half, self.mean[name] + half

    def _error(self, example: float, example_freedom: int, *names: str) -> tuple[float, float]:
        """Standard error, and Satterthwaite's degrees of freedom, of a variance summed from its parts."""
        parts = [(self.seed[name], len(self.samples[name].scores) - 1) for name in names]
        parts = [(variance, freedom) for variance, freedom in [*parts, (example, example_freedom)] if variance > 0]
        variance = sum(part for part, _ in parts)
        denominator = sum(part**2 / max(freedom, 1) for part, freedom in parts)
        return math.sqrt(variance), variance**2 / denominator if denominator else math.inf


def _seed_variance(sample: Sample) -> float:
    """Of the mean over seeds; 0 with one seed, whose noise is not known."""
    seeds = len(sample.scores)
    return float(sample.scores.var(ddof=1)) / seeds if seeds > 1 else 0.0


def _is_constant(sample: Sample) -> bool:
    """Whether all seeds gave the same predictions, as they do for a model that is not trained."""
    return all(predictions == sample.predictions[0] for predictions in sample.predictions)


def _covariance(a: Sample, b: Sample) -> FloatArray:
    """Between the scores of each run of `a` and each of `b` under resampling: [seeds of a, seeds of b]."""
    centred_a, centred_b = (s.resampled - s.resampled.mean(axis=1, keepdims=True) for s in (a, b))
    covariance: FloatArray = centred_a @ centred_b.T / (RESAMPLES - 1)
    return covariance


def _own_covariance(sample: Sample) -> float:
    """Between scores of different seeds; with one seed, its variance."""
    covariance, seeds = _covariance(sample, sample), len(sample.scores)
    if seeds == 1:
        return float(covariance[0, 0])
    return float((covariance.sum() - np.trace(covariance)) / (seeds * (seeds - 1)))


def _differing_examples(a: Sample, b: Sample) -> int:
    """How many examples any run of `a` and any run of `b` predict differently."""
    rows = zip(zip(*a.predictions, strict=True), zip(*b.predictions, strict=True), strict=True)
    return sum(any(x != y for x in of_a for y in of_b) for of_a, of_b in rows)
