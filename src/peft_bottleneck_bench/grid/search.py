"""Searches: the same number of trials for every method, and final runs with the settings of the best on validation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import takewhile
from pathlib import Path

from .. import records
from ..configuration.choices import Configuration, MethodChoice
from ..configuration.search_space import Budget, Pruning, Space, written
from ..errors import UserError
from ..models.options import check_method, method_options
from ..processes import on_main
from ..run import Run
from .parameter_budget import without_budget
from .plan import plan, with_method
from .suggestions import Setting, suggestions


@dataclass(frozen=True)
class State:
    """The state of a search.

    Args:
        trials: those whose settings are known.
        missing: how many trials have no record yet.
        winner: the number of the best trial, from 1 on; None while trials are missing, or if none finished.
    """

    trials: Sequence[Run]
    missing: int
    winner: int | None


@dataclass(frozen=True, kw_only=True)
class Search:
    """The search for the settings of one method on one task and model.

    Its state is a pure function of the trials' records, so every process that shares them agrees on it.

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
        scores: list[float | None] = []
        while True:
            settings = suggestions(self.space, self.budget, scores)
            trials = [self.trial(number, setting) for number, setting in enumerate(settings, 1)]
            found = on_main(lambda trials=trials: [_result(trial) for trial in trials])  # type: ignore[misc]
            over = list(takewhile(lambda result: result is not None, found))
            if len(over) in (len(scores), self.budget.trials):
                break
            scores = [result.score for result in over if result is not None]
        missing = self.budget.trials - sum(result is not None for result in found)
        finished = {
            number: result.score
            for number, result in enumerate(found, 1)
            if result is not None and result.score is not None
        }
        best = max(finished, key=lambda number: finished[number]) if finished and not missing else None
        return State(trials, missing, best)

    def trial(self, number: int, setting: Setting) -> Run:
        """Trial `number`, from 1 on, which tries `setting`."""
        if number not in self.made:
            words = ", ".join(f"{name} {value}" for name, value in setting.items())
            run = replace(self.with_setting(setting), trial=f"trial {number} of {self.budget.trials} ({words})")
            self.made[number] = run
        return self.made[number]

    def with_pruning(self, trial: Run) -> Run:
        """`trial` with the present scores of the others."""
        if self.budget.pruner == "none":
            return trial
        paths = [other.record_path for other in self.made.values()]
        found = on_main(lambda: [record for path in paths if (record := records.read_if_there(path))])
        curves = tuple(tuple(record.validation_curve) for record in found if record.validation_curve)
        greater = trial.metric.greater_is_better
        pruning = Pruning(pruner=self.budget.pruner, greater_is_better=greater, curves=curves)
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
            "trials": budget.trials,
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
            search.state()
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


@dataclass(frozen=True)
class _Result:
    """The score of a trial on validation, greater is better; None if it failed."""

    score: float | None


def _result(trial: Run) -> _Result | None:
    """None without a record."""
    record = records.read_if_there(trial.record_path)
    if record is None:
        return None
    if record.status != "finished":
        return _Result(None)
    score = record.validation_score
    return _Result(score if record.metric.greater_is_better else -score)
