"""The `space` of a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ..models.methods import method_named

SAMPLERS = ("quasi_random", "tpe")
PRUNERS = ("none", "median", "hyperband")


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included: whole ones if both are; `log`: evenly over their logarithms."""

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)


Dimension = tuple[object, ...] | Range
Space = Mapping[str, Dimension]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How every method searches.

    Args:
        trials: settings that each method tries; 0: as many as `steps` allow.
        steps: optimiser steps that all trials of a method take together; 0: as many as `trials` take.
        seed: of the sampler, and of the training of every trial.
        space: what all methods try.
        sampler: one of `SAMPLERS`: `quasi_random` spreads the trials evenly; `tpe` follows those that are finished.
        pruner: one of `PRUNERS`: which trials end early, by their validation scores beside those of finished trials.
    """

    trials: int = 0
    steps: int = 0
    seed: int
    space: Space
    sampler: str = SAMPLERS[0]
    pruner: str = PRUNERS[0]

    def space_of(self, method: str, own: Space) -> Space:
        """The space of `method`, whose own entry adds `own`; empty if it trains nothing."""
        return {**self.space, **own} if method_named(method).trains else {}


@dataclass(frozen=True)
class TrialCurve:
    """The scores on validation of a trial that is over, in their order; `finished`: it was not pruned."""

    scores: tuple[float, ...]
    finished: bool


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """The trials that a trial is compared with at each evaluation.

    Args:
        pruner: one of `PRUNERS`.
        number: of the trial in its search, from 1 on.
        curves: of the trials of the search that were over when it began, by their number.
    """

    pruner: str
    greater_is_better: bool
    number: int
    curves: Mapping[int, TrialCurve]


def different_settings(space: Space) -> int | None:
    """How many settings `space` has; None where a range of numbers that are not whole gives any number of them."""
    count = 1
    for dimension in space.values():
        if isinstance(dimension, tuple):
            count *= len(dimension)
        elif dimension.whole:
            count *= int(dimension.high - dimension.low) + 1
        else:
            return None
    return count


def written(space: Space) -> dict[str, object]:
    """`space` as a configuration writes it."""
    return {name: list(d) if isinstance(d, tuple) else asdict(d) for name, d in space.items()}
