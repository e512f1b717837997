"""What a search tries: the `space` of a run configuration, and the settings drawn from it."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from typing import Any

from ..models.methods import method_named


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included: whole ones if both are; `log`: evenly over their logarithms."""

    low: float
    high: float
    log: bool = False

    def at(self, share: float) -> float:
        """The number that lies `share`, from 0 to 1, of the way from low to high; no longer than people write it."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        top = self.high + 1 if whole else self.high
        value = self.low * (top / self.low) ** share if self.log else self.low + (top - self.low) * share
        return min(max(math.floor(value) if whole else float(f"{value:.3g}"), self.low), self.high)


Dimension = tuple[Any, ...] | Range
Space = Mapping[str, Dimension]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How many settings every method may try, the seed that draws them and trains with them, and what all may try."""

    trials: int
    seed: int
    space: Space

    def space_of(self, method: str, own: Space) -> Space:
        """What `method`, whose own entry adds `own`, searches: nothing if it trains nothing."""
        return {**self.space, **own} if method_named(method).trains else {}


def draw(space: Space, trials: int, seed: int) -> list[dict[str, Any]]:
    """`trials` settings out of `space`, no two alike; the same ones for the same arguments.

    Combinations of the choices are drawn without repetition, or, beside a range, each as often as any other. A range
    is cut into as many slices as there are trials, and each trial has a point from a slice of its own: few trials
    cover it better than independent points would (McKay et al. 1979).

    Raises:
        ValueError: there are not as many different settings.
    """
    generator = random.Random(seed)
    choices = {name: dimension for name, dimension in space.items() if isinstance(dimension, tuple)}
    combinations = math.prod(len(values) for values in choices.values())
    picked: set[int] = set()
    while len(picked) < min(trials, combinations):  # so that more trials draw the same ones, and others
        picked.add(generator.randrange(combinations))
    settings = [_combination(choices, number) for number in islice(cycle(sorted(picked)), trials)]
    for name, dimension in space.items():
        if isinstance(dimension, Range):
            for setting, slice_ in zip(settings, generator.sample(range(trials), trials), strict=True):
                setting[name] = dimension.at((slice_ + generator.random()) / trials)
    different = len({repr(sorted(setting.items())) for setting in settings})
    if different < trials:
        raise ValueError(
            f"{trials} trials find only {different} different settings: give more choices, or fewer trials"
        )
    return [{name: setting[name] for name in space} for setting in settings]


def written(space: Space) -> dict[str, Any]:
    """`space` as a configuration writes it."""
    return {name: list(d) if isinstance(d, tuple) else asdict(d) for name, d in space.items()}


def _combination(choices: Mapping[str, Sequence[Any]], number: int) -> dict[str, Any]:
    """Combination `number` of the choices, counted with the last of them changing fastest."""
    setting = {}
    for name, values in reversed(list(choices.items())):
        number, place = divmod(number, len(values))
        setting[name] = values[place]
    return setting
