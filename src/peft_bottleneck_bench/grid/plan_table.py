"""The plan of a grid as a table: the runs, their sizes, and estimates of their times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from rich.console import Group
from rich.table import Table
from rich.text import Text

from .. import records
from ..run import Run
from ..terminal import duration, size
from ..words import counted
from .pace import Pace, optimiser_steps
from .peak_memory import MOST_SHAPES, PeakMemory
from .search import Search, unsearched

COLUMNS = ("task", "method", "model", "seeds", "finished", "steps each", "trained", "total", "memory", "time left")


def plan_table(
    runs: Sequence[Run], searches: Sequence[Search] = (), peaks: PeakMemory | None = None, *, always: bool = False
) -> Group:
    """One row per task, model and method, and one for all trials of a search. Nothing is written.

    The steps are those of a run that does not stop early, and so are the times, which follow `pace.Pace`.

    Args:
        peaks: predicts the memory of each run, if the runs have few different shapes.
        always: predict it for any number of them.
    """
    states = [(search, search.state()) for search in searches]
    planned = [*runs, *(run for search, state in states for run in (*state.trials, *search.expected_finals(state)))]
    asked = peaks is not None
    if peaks is not None and not always and peaks.shapes(planned) > MOST_SHAPES:
        peaks = None
    pace = Pace({run.results for run in planned})
    table = Table(*COLUMNS, box=None, header_style="bold")
    seconds, left, unknown = 0.0, 0, 0
    for _, group in groupby(planned, key=_row):
        row = list(group)
        waiting = [run for run in row if not _done(run)]
        times = [pace.seconds(run) for run in waiting]
        known = [time for time in times if time is not None]
        seconds += sum(known)
        left += len(waiting)
        unknown += len(waiting) - len(known)
        first = row[0]
        table.add_row(
            first.task.name,
            first.method.label,
            first.model.slug,
            counted(len(row), "trial") if first.trial else " ".join(str(run.seed) for run in row),
            str(len(row) - len(waiting)),
            _span(row, optimiser_steps),
            _span(row, lambda run: run.trainable_parameters),
            _span(row, lambda run: run.total_parameters),
            "?" if peaks is None else _memory(row, peaks),
            duration(sum(known)) if len(known) == len(waiting) else "?",
        )
    lines = [f"\n{counted(len(planned), 'run')}, {left} left: {_estimate(seconds, left, unknown)}"]
    if asked and peaks is None:
        lines.append(f"memory: more than {MOST_SHAPES} different shapes of runs; --memory SIZE predicts it for all.")
    if searches:
        trials = sum(len(state.trials) for _, state in states)
        lines.append(f"{trials} of these are trials; where not all are done, final runs are shown as the first trial.")
        if more := sum(state.expected - len(state.trials) for _, state in states):
            lines.append(f"{more} further trials follow from the results of these.")
        lines += unsearched(runs)
    return Group(table, Text("\n".join(lines)))


def _row(run: Run) -> tuple[str, str, str, bool]:
    return run.task.name, run.model.name, run.method.label, bool(run.trial)


def _done(run: Run) -> bool:
    record = records.read_if_there(run.record_path)
    return record is not None and (record.status == "finished" or bool(run.trial))


def _span(row: Sequence[Run], number: Callable[[Run], int]) -> str:
    """The value of `number` for the row, or its range."""
    numbers = sorted({number(run) for run in row})
    return f"{numbers[0]:,}" if len(numbers) == 1 else f"{numbers[0]:,}–{numbers[-1]:,}"


def _memory(row: Sequence[Run], peaks: PeakMemory) -> str:
    """The largest predicted peak of the row's runs."""
    known = [peak for run in row if (peak := peaks.of(run)) is not None]
    return size(max(known)) if known else "?"


def _estimate(seconds: float, left: int, unknown: int) -> str:
    if not left:
        return "nothing to do"
    if unknown == left:
        return "their time is unknown until a run of the same task and model has finished on this kind of machine"
    rest = f", and {counted(unknown, 'run')} whose time is unknown until one like them has finished" if unknown else ""
    return f"about {duration(seconds)} at most{rest}"
