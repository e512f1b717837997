"""The order of the methods, and which of them the data separate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from statistics import median

from .samples import Sample, mean_and_std
from .spread import Spread

LEVEL = 0.95
POWER = 0.8


@dataclass(frozen=True)
class Standing:
    """The place of one method in its table.

    Args:
        std: over seeds; None with one seed.
        interval: of the expected score over examples and seeds, at `LEVEL`; None where nothing varies.
        ranks: the best and the worst rank that the tests leave possible: 1 + losses, methods − wins; None if untested.
        tier: 1 is the best; methods that the data cannot separate share one; None if untested.
        scattered: no test finds a better method, and yet a method with a better mean is worse than another: the scores
            vary too much, over seeds as a rule, to rule this one out.
    """

    mean: float
    std: float | None
    interval: tuple[float, float] | None = None
    ranks: tuple[int, int] | None = None
    tier: int | None = None
    scattered: bool = False

    @property
    def may_be_best(self) -> bool:
        """Whether the tests find no better method, and neither one for any method with a better mean."""
        return self.ranks is not None and self.ranks[0] == 1 and not self.scattered


@dataclass(frozen=True)
class Pair:
    """Two methods of a table.

    Args:
        difference: of the means, the first less the second.
        interval: of the difference at `LEVEL`, for this pair alone; None where the two do not differ on two examples.
        p_value: that equal methods would differ so much, for this pair alone.
        corrected: `p_value` adjusted for all pairs of the table.
        detectable: the true difference that a test with Bonferroni's correction, which Holm's begins with, would find
            in `POWER` of all repetitions.
    """

    difference: float
    interval: tuple[float, float] | None
    p_value: float
    corrected: float
    detectable: float | None

    @property
    def separated(self) -> bool:
        """Whether the two differ significantly."""
        return self.corrected < 1 - LEVEL

    @property
    def reversed(self) -> Pair:
        """The second less the first."""
        interval = self.interval and (-self.interval[1], -self.interval[0])
        return Pair(-self.difference, interval, self.p_value, self.corrected, self.detectable)


@dataclass(frozen=True)
class Ranking:
    """A table's methods, best first, and the comparison of every pair, the better one named first."""

    standings: dict[str, Standing]
    pairs: dict[tuple[str, str], Pair]

    def between(self, first: str, second: str) -> Pair:
        """The first against the second, whichever is better."""
        pair = self.pairs.get((first, second))
        return pair if pair is not None else self.pairs[second, first].reversed

    @property
    def detectable(self) -> float | None:
        """The median over all pairs: the table would miss a smaller difference. None if no pair has one."""
        known = [pair.detectable for pair in self.pairs.values() if pair.detectable is not None]
        return median(known) if known else None


def rank(
    samples: Mapping[str, Sample],
    *,
    greater_is_better: bool = True,
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> Ranking:
    """Orders methods by their mean and says which of them the data separate.

    Every pair is tested two-sided at `1 − LEVEL`, with Holm's correction over all pairs (Holm 1979). Then, as in the
    tables of the WMT shared tasks (Kocmi et al. 2023, "Findings of the 2023 conference on machine translation"), the
    ordered methods are cut into tiers wherever every method above the cut differs significantly from every method
    below it. So a better mean never has a worse tier, methods that the data cannot separate share a tier, and if all
    methods are equal there is more than one tier with a probability of at most `1 − LEVEL`. A tier may hold separable
    methods, where others bridge them; `ranks` shows this.

    `limits` are the least and the greatest possible score: an interval of a mean ends there.
    """
    spread = Spread(samples)
    sign = 1 if greater_is_better else -1
    order = sorted(samples, key=lambda name: (-sign * spread.mean[name], name))
    pairs = _pairs(spread, order)
    beats = {names for names, pair in pairs.items() if pair.separated}

    standings, tier, lost = {}, 1, False
    for position, name in enumerate(order):
        if position and all((above, below) in beats for above in order[:position] for below in order[position:]):
            tier += 1
        losses, wins = (sum(pair[side] == name for pair in beats) for side in (1, 0))
        mean, std = mean_and_std(list(samples[name].scores))
        interval = spread.of(name).interval(LEVEL)
        if interval is not None and limits[0] <= mean <= limits[1]:
            interval = max(interval[0], limits[0]), min(interval[1], limits[1])
        lost |= losses > 0
        standings[name] = Standing(mean, std, interval, (1 + losses, len(order) - wins), tier, lost and not losses)
    return Ranking(standings, pairs)


def _pairs(spread: Spread, order: list[str]) -> dict[tuple[str, str], Pair]:
    estimates = {names: spread.difference(*names) for names in combinations(order, 2)}
    corrected = holm({names: estimate.p_value for names, estimate in estimates.items()})
    alpha = (1 - LEVEL) / max(len(estimates), 1)
    return {
        names: Pair(
            estimate.value,
            estimate.interval(LEVEL),
            estimate.p_value,
            corrected[names],
            estimate.detectable(alpha, POWER),
        )
        for names, estimate in estimates.items()
    }


def holm(p_values: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """P-values adjusted so that rejecting those below α errs anywhere with a probability of at most α (Holm 1979)."""
    adjusted, least = {}, 0.0
    for done, (pair, p_value) in enumerate(sorted(p_values.items(), key=lambda item: (item[1], item[0]))):
        least = max(least, min(1.0, p_value * (len(p_values) - done)))
        adjusted[pair] = least
    return {pair: adjusted[pair] for pair in p_values}
