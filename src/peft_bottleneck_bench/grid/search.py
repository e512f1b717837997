"""Searches: as many trials, or as many training steps, for every method, and final runs with the settings of the best.

The state of a search is a pure function of the records of its trials: processes that share them agree on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import takewhile
from pathlib import Path

from .. import records
from ..configuration.choices import Configuration, MethodChoice
from ..configuration.findings import MOST_RUNS
from ..configuration.search_space import Budget, Pruning, Space, TrialCurve, different_settings, written
from ..errors import UserError
from ..models.options import check_method, method_options
from ..processes import on_main
from ..records import remote
from ..run import Run
from .pace import optimiser_steps
from .parameter_budget import without_budget
from .plan import plan, with_method
from .suggestions import STARTUP_SHARE, Result, Setting, suggestions


@dataclass(frozen=True)
class State:
    """The state of a search.

    Args:
        trials: those whose settings are known.
        missing: how many trials are known to have no record yet.
        expected: how many trials there are, as far as it is known: pruned trials leave steps for further ones.
        winner: the number of the best trial, from 1 on; None while trials are missing, or if none finished.
    """

    trials: Sequence[Run]
    missing: int
    expected: int
    winner: int | None


@dataclass(frozen=True, kw_only=True)
class Search:
    """The search for the settings of one method on one task and model.

    Args:
        seeds: of the final runs.
        results: where the records of the final runs go.
        with_setting: the run that tries a setting.
    """

    budget: Budget
    space: Space
    seeds: tuple[int, ...]
    results: Path
    with_setting: Callable[[Setting], Run]
    name: str
    made: dict[int, Run] = field(default_factory=dict)

    def state(self) -> State:
        """The state by the records. Of trials that are equally good on validation, the first wins."""
        results: list[Result | None] = []
        while True:
            trials = self.known(results)
            found = on_main(lambda trials=trials: [_result(trial) for trial in trials])  # type: ignore[misc]
            if found == results:  # nothing further follows from them
                break
            results = found
        missing = (self.budget.trials or len(trials)) - sum(result is not None for result in found)
        finished = {
            number: result.score
            for number, result in enumerate(found, 1)
            if result is not None and result.score is not None
        }
        best = max(finished, key=lambda number: finished[number]) if finished and not missing else None
        return State(trials, missing, max(len(trials), self.trials_in_full) if missing else len(trials), best)

    def known(self, results: Sequence[Result | None]) -> list[Run]:
        """The trials whose settings follow from the `results` of the first trials.

        With a budget of steps, a trial without a result counts whole. So more results never take a trial away.
        """
        over = list(takewhile(lambda result: result is not None, results))
        most = self.budget.trials or len(results) + self.trials_in_full
        if self.budget.sampler == "tpe":
            most = min(most, len(over) + 1)
        startup = max(2, self.trials_in_full // STARTUP_SHARE)
        settings = suggestions(
            self.space, self.budget, [result for result in over if result is not None], most, startup=startup
        )
        trials: list[Run] = []
        left = self.budget.steps
        for number, setting in enumerate(settings, 1):
            trial = self.trial(number, setting)
            if self.budget.steps:
                whole = optimiser_steps(trial)
                if whole > left:
                    break
                result = results[number - 1] if number <= len(results) else None
                left -= whole if result is None or result.steps is None else min(result.steps, whole)
            trials.append(trial)
        return trials

    @cached_property
    def trials_in_full(self) -> int:
        """How many trials the budget holds; one of steps: if all are as long as the first, and at least 1."""
        return self.budget.trials or max(1, self.budget.steps // self.first_steps)

    @cached_property
    def first_steps(self) -> int:
        """The optimiser steps of the first trial."""
        (first,) = suggestions(self.space, self.budget, (), 1)
        return max(1, optimiser_steps(self.trial(1, first)))

    def check(self) -> None:
        """Refuses a search that cannot be done.

        Raises:
            UserError: a method does not take a setting, or no trial fits into the steps, or the space is too small.
        """
        if steps := self.budget.steps:
            trials, different = self.trials_in_full, different_settings(self.space)
            if steps < self.first_steps:
                raise UserError(f"search.steps: {steps:,} are too few for {self}: a trial takes {self.first_steps:,}")
            if trials > MOST_RUNS:
                raise UserError(f"search.steps: {steps:,} are {trials:,} trials: a grid has {MOST_RUNS:,} at most")
            if different is not None and different < trials:
                raise UserError(
                    f"search.steps: {steps:,} are {trials:,} trials of {self}, which find only {different} different "
                    "settings: give more choices, or fewer steps"
                )
        self.state()

    def trial(self, number: int, setting: Setting) -> Run:
        """Trial `number`, from 1 on, which tries `setting`."""
        if number not in self.made:
            words = ", ".join(f"{name} {value}" for name, value in setting.items())
            of = f" of {self.budget.trials}" if self.budget.trials else ""
            run = replace(self.with_setting(setting), trial=f"trial {number}{of} ({words})")
            self.made[number] = run
        return self.made[number]

    def with_pruning(self, trial: Run) -> Run:
        """`trial` with the present scores of the others."""
        if self.budget.pruner == "none":
            return trial
        places = {number: other.record_path for number, other in self.made.items()}
        own = next(number for number, path in places.items() if path == trial.record_path)
        found = on_main(
            lambda: {number: record for number, path in places.items() if (record := records.read_if_there(path))}
        )
        curves = {
            number: TrialCurve(tuple(score for _, score in record.validation_curve), record.status == "finished")
            for number, record in found.items()
            if record.validation_curve and number != own
        }
        greater = trial.metric.greater_is_better
        pruning = Pruning(pruner=self.budget.pruner, greater_is_better=greater, number=own, curves=curves)
        return replace(trial, pruning=pruning)

    def finals(self, state: State) -> list[Run]:
        """The winning trial as a run of every seed; none without a winner."""
        return [] if state.winner is None else self.runs_of(state.trials, state.winner)

    def expected_finals(self, state: State) -> list[Run]:
        """The final runs; as long as there is no winner, with the settings of the first trial in its place."""
        return self.runs_of(state.trials, state.winner or 1)

    def runs_of(self, trials: Sequence[Run], winner: int) -> list[Run]:
        budget = self.budget
        account = {
            **({"steps": budget.steps} if budget.steps else {}),
            "trials": len(trials) if budget.steps else budget.trials,
            "seed": budget.seed,
            "sampler": budget.sampler,
            "pruner": budget.pruner,
            "space": written(self.space),
            "winner": winner,
        }
        run = replace(trials[winner - 1], results=self.results, trial="", pruning=None, search=account)
        return [replace(run, seed=seed) for seed in self.seeds]

    def __str__(self) -> str:
        return self.name


def plan_grid(configuration: Configuration) -> tuple[list[Run], list[Search]]:
    """The runs whose settings are in `configuration`, and the searches for those of all others.

    Raises:
        UserError: one message for everything that is wrong.
    """
    budget = configuration.search
    for folder in (configuration.results, Path(f"{configuration.results}-search"))[: 1 if budget is None else 2]:
        on_main(lambda folder=folder: remote.fetch(folder))  # type: ignore[misc]
    if budget is None:
        return plan(configuration), []
    trying = replace(configuration, seeds=(budget.seed,), results=Path(f"{configuration.results}-search"))
    runs: list[Run] = []
    searches: list[Search] = []
    errors: list[UserError] = []
    for run in plan(trying):
        space = budget.space_of(run.method.name, run.method.space)
        if not space:
            runs += [replace(run, seed=seed, results=configuration.results) for seed in configuration.seeds]
            continue
        search = Search(
            budget=budget,
            space=space,
            seeds=configuration.seeds,
            results=configuration.results,
            with_setting=partial(_with_setting, trying, run),
            name=f"{run.task.name} · {run.method.label} · {run.model.slug}",
        )
        try:
            search.check()
        except UserError as error:
            errors.append(error)
        searches.append(search)
    if errors:
        raise UserError.collect(errors)
    return runs, searches


def unsearched(runs: Iterable[Run]) -> list[str]:
    """One line for each method that a search leaves as it is, on each task and model."""
    names = dict.fromkeys((run.task.name, run.method.label, run.model.slug) for run in runs)
    return [f"{' · '.join(name)}: trains nothing, so there is nothing to search; it runs as it is" for name in names]


def _with_setting(configuration: Configuration, run: Run, setting: Setting) -> Run:
    """`run` with `setting`, checked as every run of a plan is.

    Raises:
        UserError: the method does not take the setting.
    """
    method: MethodChoice = run.method
    own = method_options(method.name)
    tried = {name: value for name, value in setting.items() if name in own}
    if tried and method.budget:  # with other options the budget chooses another size
        method = without_budget(method)
    options = {**method.options, **tried}
    training = {**method.training, **{name: value for name, value in setting.items() if name not in own}}
    try:
        check_method(method.name, options)
        return with_method(configuration, run, replace(method, options=options, training=training))
    except UserError as error:
        words = ", ".join(f"{name} {value}" for name, value in setting.items())
        raise UserError(*(f"search: {words}: {message}" for message in error.messages)) from error


def _result(trial: Run) -> Result | None:
    """None without a record."""
    record = records.read_if_there(trial.record_path)
    if record is None:
        return None
    sign = 1 if record.metric.greater_is_better else -1
    return Result(
        score=sign * record.validation_score if record.status == "finished" else None,
        curve=tuple((step, sign * score) for step, score in record.validation_curve),
        steps=record.train_steps,
    )
