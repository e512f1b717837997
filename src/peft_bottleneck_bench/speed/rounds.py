"""Turns in alternating order, and their statistics: medians, spread, and ratios of turns of the same repetition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import comb
from statistics import median, quantiles
from typing import Any

Record = Mapping[str, Any]  # of the measurements of one model
CONFIDENCE = 0.95


def alternate(turns: Mapping[str, Callable[[], float]], repetitions: int, *, start: int = 0) -> dict[str, list[float]]:
    """Seconds of every candidate in every repetition; each repetition goes through all, every second one backwards.

    One round before the first warms up and is not kept. With one call per build, `start` is the number of the build:
    its rounds begin with that candidate, and an odd one goes backwards first, since the ends of a round differ from
    its middle.
    """
    found: dict[str, list[float]] = {name: [] for name in turns}
    for turn in turns.values():
        turn()
    first = start % max(1, len(turns))
    names = [*list(turns)[first:], *list(turns)[:first]]
    for repetition in range(start, start + repetitions):
        for name in names[:: -1 if repetition % 2 else 1]:
            found[name].append(turns[name]())
    return found


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = quantiles(seconds, n=4, method="inclusive")
    return {"median": middle, "first_quartile": low, "third_quartile": high}


def paired_ratio(seconds: Sequence[float], reference: Sequence[float], turns: int = 1) -> dict[str, float]:
    """The median of the repetitions' ratios, with its interval; each is the median of the ratios of its paired turns.

    The interval reaches from the k-th smallest to the k-th largest ratio, with the largest k for which it covers the
    median with a probability of at least 95 %, whatever the distribution; with fewer than six repetitions none does,
    and it is the whole range.
    """
    pairs = [a / b for a, b in zip(seconds, reference, strict=True)]
    ratios = sorted(median(pairs[start : start + turns]) for start in range(0, len(pairs), turns))
    count = len(ratios)
    below, k = 0.0, 0
    while (below := below + comb(count, k) / 2**count) <= (1 - CONFIDENCE) / 2:
        k += 1
    rank = max(k, 1)
    return {"median": median(ratios), "low": ratios[rank - 1], "high": ratios[-rank]}
