"""Searches: the same number of trials for every method, and final runs with the settings of the best on validation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from .. import records
from ..configuration.choices import Configuration, MethodChoice
from ..configuration.search_space import Budget, Space, draw, written
from ..errors import UserError
from ..models.options import check_method, method_options
from ..run import Run
from .plan import plan


@dataclass(frozen=True, kw_only=True)
class Search:
    """The search for the settings of one method on one task and model.

    Which trial wins is a pure function of the trials' records, so every process that shares them agrees on it.

    Args:
        trials: its runs, all with the search's seed.
        seeds: of the final runs.
        results: where the records of the final runs go.
        account: what a final record says of the search, beside the winner.
    """

    trials: tuple[Run, ...]
    seeds: tuple[int, ...]
    results: Path
    account: Mapping[str, Any]

    def standing(self) -> tuple[int, int | None]:
        """How many trials have no record yet, and which trial wins: None while there are any, or if none finished.

        Of trials that are equally good on validation, the first wins.
        """
        found = [records.read_if_there(trial.record_path) for trial in self.trials]
        waiting = found.count(None)
        scores = {
            number: _score(record)
            for number, record in enumerate(found, 1)
            if record is not None and record.status == "finished"
        }
        return waiting, max(scores, key=lambda number: scores[number]) if scores and not waiting else None

    def finals(self, winner: int | None) -> list[Run]:
        """Trial `winner` as a run of every seed; none without a winner."""
        if winner is None:
            return []
        account = {**self.account, "winner": winner}
        run = replace(self.trials[winner - 1], results=self.results, trial="", search=account)
        return [replace(run, seed=seed) for seed in self.seeds]

    def __str__(self) -> str:
        first = self.trials[0]
        return f"{first.task.name} · {first.method.label} · {first.model.slug}"


def plan_grid(configuration: Configuration) -> tuple[list[Run], list[Search]]:
    """The runs whose settings stand in `configuration`, and the searches for those of all others.

    Raises:
        UserError: one message for everything that is wrong.
    """
    budget = configuration.search
    if budget is None:
        return plan(configuration), []
    results = configuration.results
    planned = plan(
        replace(
            configuration,
            methods=tuple(trial for method in configuration.methods for trial in _trials(method, budget)),
            seeds=(budget.seed,),
            results=Path(f"{results}-search"),
        )
    )
    spaces = {method.label: budget.space_of(method.name, method.space) for method in configuration.methods}
    runs: list[Run] = []
    searches: list[Search] = []
    for _, group in groupby(planned, key=lambda run: (run.task.name, run.model.name, run.method.label)):
        trials = tuple(group)
        space = spaces[trials[0].method.label]
        if not space:
            runs += [replace(trials[0], seed=seed, results=results) for seed in configuration.seeds]
            continue
        account = {"trials": budget.trials, "seed": budget.seed, "space": written(space)}
        named = tuple(
            replace(trial, trial=f"trial {number} of {len(trials)} ({_told(trial, space)})")
            for number, trial in enumerate(trials, 1)
        )
        searches.append(Search(trials=named, seeds=configuration.seeds, results=results, account=account))
    return runs, searches


def unsearched(runs: Iterable[Run]) -> list[str]:
    """One line for each method that a search leaves as it is, on each task and model."""
    names = dict.fromkeys((run.task.name, run.method.label, run.model.slug) for run in runs)
    return [f"{' · '.join(name)}: trains nothing, so there is nothing to search; it runs as it is" for name in names]


def _trials(method: MethodChoice, budget: Budget) -> list[MethodChoice]:
    """`method` once with each setting to be tried; as it is where there is nothing to search."""
    space = budget.space_of(method.name, method.space)
    if not space:
        return [method]
    own = method_options(method.name)
    trials = []
    for setting in draw(space, budget.trials, budget.seed):
        options = {**method.options, **{name: value for name, value in setting.items() if name in own}}
        try:
            check_method(method.name, options)
        except UserError as error:
            told = ", ".join(f"{name} {value}" for name, value in setting.items())
            raise UserError(*(f"search: {told}: {message}" for message in error.messages)) from error
        training = {name: value for name, value in setting.items() if name not in own}
        trials.append(replace(method, options=options, training={**method.training, **training}))
    return trials


def _told(trial: Run, space: Space) -> str:
    """What `trial` has of the names in `space`, in words."""
    given = {**trial.training, **trial.method.options}
    return ", ".join(f"{name} {given[name]}" for name in space)


def _score(record: records.Record) -> float:
    """How good a finished trial was on validation; greater is better."""
    return record.validation_score if record.metric.greater_is_better else -record.validation_score
