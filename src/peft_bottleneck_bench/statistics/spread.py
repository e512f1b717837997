"""The variances and covariances of the means in a table, and what they say of a difference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from .samples import RESAMPLES, FloatArray, Sample

# Of the figures: the last digits of sums depend on the processor and on the number of threads, and pages that are made
# of the same records are the same everywhere.
DIGITS = 9


@dataclass(frozen=True)
class Estimate:
    """A mean, or a difference of means, and its uncertainty.

    Args:
        error: standard error; 0 where nothing varies.
        freedom: Satterthwaite's degrees of freedom.
    """

    value: float
    error: float
    freedom: float

    @property
    def p_value(self) -> float:
        """Two-sided, that the value is 0."""
        return _rounded(2 * student.sf(abs(self.value) / self.error, self.freedom)) if self.error else 1.0

    def interval(self, level: float) -> tuple[float, float] | None:
        """The confidence interval at `level`."""
        if not self.error:
            return None
        half = self.error * float(student.ppf((1 + level) / 2, self.freedom))
        return _rounded(self.value - half), _rounded(self.value + half)

    def detectable(self, alpha: float, power: float) -> float | None:
        """The smallest true value that a two-sided test at `alpha` finds with a probability of `power`."""
        if not self.error:
            return None
        return _rounded(self.error * (student.ppf(1 - alpha / 2, self.freedom) + student.ppf(power, self.freedom)))


class Spread:
    """All methods of a table."""

    def __init__(self, samples: Mapping[str, Sample]) -> None:
        self.samples = samples
        self.mean = {name: float(sample.scores.mean()) for name, sample in samples.items()}
        seed = {name: _seed_variance(sample) for name, sample in samples.items()}
        noisy = [variance for variance in seed.values() if variance > 0]
        floor = float(np.median(noisy)) if noisy else 0.0
        self.seed = {
            name: max(variance, floor) if len(samples[name].scores) > 1 and not samples[name].is_constant else 0.0
            for name, variance in seed.items()
        }
        self.example = {name: _own_covariance(sample) for name, sample in samples.items()}

    def difference(self, first: str, second: str) -> Estimate:
        """Of two methods' means; without an error where fewer than two examples tell them apart."""
        a, b = self.samples[first], self.samples[second]
        differing = _differing_examples(a, b)
        shared = float(_covariance(a, b).mean())
        example = max(0.0, self.example[first] + self.example[second] - 2 * shared)
        return self._estimate(self.mean[first] - self.mean[second], example, differing, first, second)

    def of(self, name: str) -> Estimate:
        """A method's mean."""
        examples = len(self.samples[name].predictions[0])
        return self._estimate(self.mean[name], max(0.0, self.example[name]), examples, name)

    def _estimate(self, value: float, example: float, examples: int, *names: str) -> Estimate:
        """Satterthwaite's estimate for a variance that is the sum of its parts."""
        if examples < 2:
            return Estimate(value, 0.0, math.inf)
        parts = [(self.seed[name], len(self.samples[name].scores) - 1) for name in names]
        parts = [(variance, freedom) for variance, freedom in [*parts, (example, examples - 1)] if variance > 0]
        variance = sum(part for part, _ in parts)
        denominator = sum(part**2 / max(freedom, 1) for part, freedom in parts)
        return Estimate(value, math.sqrt(variance), variance**2 / denominator if denominator else math.inf)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _seed_variance(sample: Sample) -> float:
    """The variance of the mean over seeds; 0 with one seed, whose noise is not known."""
    seeds = len(sample.scores)
    return float(sample.scores.var(ddof=1)) / seeds if seeds > 1 else 0.0


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
