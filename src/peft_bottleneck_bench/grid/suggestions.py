"""The settings of a search's trials, by Optuna: the same ones for the same space, seed and records."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..configuration.search_space import Budget, Range, Space
from ..errors import UserError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

STARTUP_SHARE = 3  # of the trials of `tpe`, one in so many is random: there is nothing to follow yet
REPEATS = 1000  # how often the sampler may give a setting that has come up before
Setting = dict[str, Any]


def suggestions(space: Space, budget: Budget, scores: Sequence[float | None]) -> list[Setting]:
    """The settings of the first trials, no two alike: of all of them, or of those that `scores` allow.

    Args:
        scores: of the trials that are over, in their order; None for one that failed. Greater is better.

    Raises:
        UserError: Optuna is not installed.
    """
    study = _study(budget)
    distributions = {name: _distribution(dimension) for name, dimension in space.items()}
    follows = budget.sampler == "tpe"
    if not follows:
        study.tell(study.ask(distributions), 0.0)  # the first point gives the space to the sampler, and is none of it
    known = min(budget.trials, len(scores) + 1) if follows else budget.trials
    found: list[Setting] = []
    for _ in range(known * REPEATS):
        if len(found) == known:
            break
        trial = study.ask(distributions)
        setting = {name: _value(dimension, trial.params[name]) for name, dimension in space.items()}
        new = setting not in found
        if new:
            found.append(setting)
        place = found.index(setting)
        score = scores[place] if follows and place < len(scores) else 0.0
        if follows and new and place == len(scores):
            continue  # nothing is known of it yet
        study.tell(trial, score) if score is not None else study.tell(trial, state=_failed())
    return found


def _study(budget: Budget) -> Study:
    try:
        import optuna
    except ImportError as error:
        raise UserError("search: Optuna is not installed: pip install optuna") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its experimental classes warn
        sampler: optuna.samplers.BaseSampler = optuna.samplers.QMCSampler(
            qmc_type="sobol",
            scramble=True,
            seed=budget.seed,
            independent_sampler=optuna.samplers.RandomSampler(seed=budget.seed),
            warn_independent_sampling=False,
        )
        if budget.sampler == "tpe":
            startup = max(2, budget.trials // STARTUP_SHARE)
            sampler = optuna.samplers.TPESampler(seed=budget.seed, n_startup_trials=startup)
    return optuna.create_study(direction="maximize", sampler=sampler)


def _distribution(dimension: tuple[object, ...] | Range) -> BaseDistribution:
    """Choices count as whole numbers: quasi-random points then spread over them evenly too."""
    from optuna.distributions import FloatDistribution, IntDistribution

    if isinstance(dimension, tuple):
        return IntDistribution(0, len(dimension) - 1)
    if dimension.whole:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _value(dimension: tuple[Any, ...] | Range, sampled: float) -> Any:
    """A choice or a number; no longer than people write it."""
    if isinstance(dimension, tuple):
        return dimension[int(sampled)]
    if dimension.whole:
        return int(sampled)
    return min(max(float(f"{sampled:.3g}"), dimension.low), dimension.high)


def _failed() -> object:
    from optuna.trial import TrialState

    return TrialState.FAIL
