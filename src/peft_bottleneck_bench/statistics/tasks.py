"""Methods over several tasks: average ranks, and which of them differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, rankdata, studentized_range

from .ranking import LEVEL


@dataclass(frozen=True)
class AverageRanks:
    """Every method's mean rank over the same tasks.

    Args:
        ranks: by method, the best first.
        p_value: Friedman's, that all methods are equal.
        critical: Nemenyi's critical difference at `LEVEL`: methods whose ranks differ by less are not separated.
    """

    ranks: dict[str, float]
    tasks: int
    p_value: float
    critical: float

    @property
    def may_be_best(self) -> list[str]:
        """The methods that no other is separated from and above."""
        least = min(self.ranks.values())
        return [name for name, rank in self.ranks.items() if not self.separated(rank - least)]

    def separated(self, difference: float) -> bool:
        """Whether ranks that differ so much are of different methods."""
        return self.p_value < 1 - LEVEL and difference >= self.critical


def average_ranks(scores: Mapping[str, Sequence[float]], *, greater_is_better: Sequence[bool]) -> AverageRanks:
    """Friedman's test with Nemenyi's comparison of all pairs (Demšar 2006, equations 6 and 7).

    The tasks are the observations. So the result is about other tasks of the same sort, and few tasks say little,
    whatever their number of examples.

    Args:
        scores: of each method, one per task.
        greater_is_better: of each task's score.

    Raises:
        ValueError: there are fewer than two methods or tasks.
    """
    names, tasks = list(scores), len(greater_is_better)
    methods = len(names)
    if methods < 2 or tasks < 2:
        raise ValueError(f"{methods} methods on {tasks} tasks: average ranks need two of each")
    sign = np.where(greater_is_better, -1.0, 1.0)
    table = np.array([scores[name] for name in names]) * sign  # [methods, tasks], less is better
    ranks = rankdata(table, axis=0)
    mean = ranks.mean(axis=1)
    # Friedman's statistic over its variance with ties; both are 0 where all methods tie on all tasks.
    variance = float(((ranks - (methods + 1) / 2) ** 2).sum()) / (methods - 1)
    between = tasks**2 * float(((mean - (methods + 1) / 2) ** 2).sum())
    p_value = float(chi2.sf(between / variance, methods - 1)) if variance else 1.0
    quantile = float(studentized_range.ppf(LEVEL, methods, math.inf)) / math.sqrt(2)
    critical = quantile * math.sqrt(methods * (methods + 1) / (6 * tasks))
    order = sorted(range(methods), key=lambda index: (mean[index], names[index]))
    return AverageRanks({names[index]: float(mean[index]) for index in order}, tasks, p_value, critical)
