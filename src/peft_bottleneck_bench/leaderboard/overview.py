"""All tasks of one model in one table, with a mean only where it is a mean over the same tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from ..statistics import Standing
from .boards import Board


@dataclass(frozen=True)
class Overview:
    """The boards of one model side by side.

    Args:
        lines: one per method, the best mean first, those without one last.
        unit: what the means are of; None where the boards' figures have no common scale.
    """

    model: str
    boards: list[Board]
    lines: list[Line]
    unit: str | None


@dataclass(frozen=True)
class Line:
    """One method on all boards of a model.

    Args:
        standings: one per board; None where the method has no finished run.
        mean: over all boards, in per cent of the best possible score; None where it would leave one out.
        lacking: the tasks on which the method is incomplete.
    """

    method: str
    standings: list[Standing | None]
    mean: float | None
    lacking: list[str]


def overviews(boards: Sequence[Board]) -> list[Overview]:
    """One overview per model that has several boards."""
    models = sorted({board.record.model for board in boards})
    groups = {model: [board for board in boards if board.record.model == model] for model in models}
    return [_overview(model, group) for model, group in groups.items() if len(group) > 1]


def _overview(model: str, boards: list[Board]) -> Overview:
    scales = [_best(board) for board in boards]
    methods = sorted({row.method for board in boards for row in board.rows})
    lines = [_line(method, boards, scales) for method in methods]
    lines.sort(key=lambda line: (line.mean is None, -(line.mean or 0.0), bool(line.lacking), line.method))
    metrics = sorted({board.main_metric for board in boards})
    unit = None if None in scales else f"mean of {', '.join(metrics)}, each in per cent of its best value"
    return Overview(model, boards, lines, unit)


def _line(method: str, boards: list[Board], scales: list[float | None]) -> Line:
    rows = [next((row for row in board.rows if row.method == method), None) for board in boards]
    complete = [row is not None and row.problem is None for row in rows]
    standings = [row.standing if row else None for row in rows]
    mean = None
    if all(complete):
        scores = [100 * s.mean / scale for s, scale in zip(standings, scales, strict=True) if s and scale]
        mean = fmean(scores) if len(scores) == len(boards) else None
    lacking = [board.record.task for board, whole in zip(boards, complete, strict=True) if not whole]
    return Line(method, standings, mean, lacking)


def _best(board: Board) -> float | None:
    """The value of a perfect score; None for an error, or for a metric that does not say."""
    return board.score.best if board.score and board.score.best > 0 else None
