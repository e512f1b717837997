"""All tasks of one model in one table, with average ranks over the methods that are complete on every task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..statistics import AverageRanks, Standing, average_ranks
from . import formatting as show
from .boards import Board
from .verdict import joined


@dataclass(frozen=True)
class Overview:
    """The boards of one model side by side.

    Args:
        boards: of all tasks; those of `left_out` have nothing to compare and do not count in the ranks.
        lines: one per method, the best average rank first, those without one last.
        ranks: of the methods that are complete on every task that counts; None where fewer than two are.
        left_out: the tasks on which fewer than two methods are complete.
    """

    model: str
    boards: list[Board]
    lines: list[Line]
    ranks: AverageRanks | None
    left_out: list[str]

    @property
    def verdict(self) -> list[str]:
        """What the tasks together say, one sentence each."""
        without = f"Left out, as fewer than two methods are complete there: {joined(self.left_out)}."
        rest = [without] if self.left_out else []
        if self.ranks is not None:
            return [*over_tasks(self.ranks), *rest]
        if len(self.boards) - len(self.left_out) < 2:
            return ["No ranking over tasks: it needs two tasks with two complete methods each.", *rest]
        return ["No ranking over tasks: fewer than two methods are complete on all of them.", *rest]


@dataclass(frozen=True)
class Line:
    """One method on all boards of a model.

    Args:
        standings: one per board; None where the method has no finished run.
        rank: its average rank; None where it is not complete on every task that counts.
        lacking: the tasks that count on which the method is incomplete.
    """

    method: str
    standings: list[Standing | None]
    rank: float | None
    lacking: list[str]


def overviews(boards: Sequence[Board]) -> list[Overview]:
    """One overview per model that has several boards."""
    models = sorted({board.record.model for board in boards})
    groups = {model: [board for board in boards if board.record.model == model] for model in models}
    return [_overview(model, group) for model, group in groups.items() if len(group) > 1]


def _overview(model: str, boards: list[Board]) -> Overview:
    methods = sorted({row.method for board in boards for row in board.rows})
    counted = [board for board in boards if sum(row.problem is None for row in board.rows) > 1]
    lines = [_line(method, boards, counted) for method in methods]
    scores = {
        line.method: [s.mean for s, board in zip(line.standings, boards, strict=True) if s and board in counted]
        for line in lines
        if not line.lacking
    }
    ranks = None
    if len(scores) > 1 and len(counted) > 1:
        ranks = average_ranks(scores, greater_is_better=[board.greater_is_better for board in counted])
        lines = [Line(one.method, one.standings, ranks.ranks.get(one.method), one.lacking) for one in lines]
    lines.sort(key=lambda line: (line.rank is None, line.rank or 0.0, bool(line.lacking), line.method))
    return Overview(model, boards, lines, ranks, [board.record.task for board in boards if board not in counted])


def _line(method: str, boards: list[Board], counted: list[Board]) -> Line:
    rows = [next((row for row in board.rows if row.method == method), None) for board in boards]
    lacking = [
        board.record.task
        for board, row in zip(boards, rows, strict=True)
        if board in counted and (row is None or row.problem is not None)
    ]
    return Line(method, [row.standing if row else None for row in rows], None, lacking)


def over_tasks(ranks: AverageRanks) -> list[str]:
    """What average ranks say, one sentence each, the answer first."""
    first, best = next(iter(ranks.ranks)), ranks.may_be_best
    friedman, tasks = f"Friedman's test: {show.p_value(ranks.p_value)}", f"Over {ranks.tasks} tasks"
    if len(best) == len(ranks.ranks):
        answer = f"{tasks} nothing is separated: each of the {len(best)} methods may be best ({friedman})."
    elif len(best) > 1:
        answer = f"{tasks} {joined(best)} may each be best ({friedman}, then Nemenyi's)."
    else:
        answer = f"{tasks} only {first} may be best ({friedman}, then Nemenyi's)."
    return [
        answer,
        f"{first} has the best average rank, {ranks.ranks[first]:.2f}. Average ranks have to differ by "
        f"{ranks.critical:.2f} to be separated. The tasks are the observations: few tasks say little, and each board "
        "says more of its own task.",
    ]
