"""The settings of a search's trials, by Optuna: the same ones for the same space, seed and records."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..configuration.search_space import Budget, Range, Space, different_settings
from ..errors import UserError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

STARTUP_SHARE = 3  # of the trials of `tpe`, one in so many is random: there is nothing to follow yet
REPEATS = 1000  # how often the sampler may give a setting that has come up before
Setting = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """A trial that is over; greater scores are better.

    Args:
        score: on validation; None if the trial failed or was pruned.
        curve: `[step, score]` of its evaluations; of a trial without a score: it was pruned.
        steps: that it took; None: not known.
    """

    score: float | None
    curve: tuple[tuple[int, float], ...] = ()
    steps: int | None = None


def suggestions(
    space: Space, budget: Budget, results: Sequence[Result], number: int, *, startup: int = 2
) -> list[Setting]:
    """The settings of the first trials, no two alike: `number` of them, or fewer where the space has no more.

    `tpe` needs the results of all trials but the last. As Optuna has it, it learns from a pruned trial by the step and
    the score at which it ended, behind all finished ones, and nothing from a failed one.

    Args:
        results: of the trials that are over, in their order.
        startup: how many trials of `tpe` are random, since there is nothing to follow yet.

    Raises:
        UserError: Optuna is not installed.
    """
    study = _study(budget, startup)
    distributions = {name: _distribution(dimension) for name, dimension in space.items()}
    follows = budget.sampler == "tpe"
    if not follows:
        study.tell(study.ask(distributions), 0.0)  # the first point gives the space to the sampler, and is none of it
    number = min(number, different_settings(space) or number)
    found: list[Setting] = []
    for _ in range(number * REPEATS):
        if len(found) == number:
            break
        trial = study.ask(distributions)
        setting = {name: _value(dimension, trial.params[name]) for name, dimension in space.items()}
        new = setting not in found
        if new:
            found.append(setting)
        place = found.index(setting)
        if not follows:
            study.tell(trial, 0.0)
        elif place < len(results):
            _tell(study, trial, results[place])
        elif not new:
            study.tell(trial, 0.0)
    return found


def _tell(study: Study, trial: Trial, result: Result) -> None:
    """Gives `study` what is known of a trial that is over."""
    from optuna.trial import TrialState

    for step, score in result.curve:
        trial.report(score, step)
    if result.score is not None:
        study.tell(trial, result.score)
    else:
        study.tell(trial, state=TrialState.PRUNED if result.curve else TrialState.FAIL)


def _study(budget: Budget, startup: int) -> Study:
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
