"""The columns of a board, for the terminal, the document and the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import formatting as show
from .boards import Board, Row


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        name: its heading.
        cell: the text of a row.
        key: the value by which rows are sorted; None if missing.
        short: the text on a terminal; None leaves the column out there.
        heading: the name there, if it is another.
    """

    name: str
    cell: Callable[[Row], str]
    key: Callable[[Row], float | str | None]
    short: Callable[[Row], str] | None = None
    heading: str = ""


def columns(board: Board) -> list[Column]:
    """The columns of `board`."""
    measured = [
        Column("training step", _step_time, step_seconds),
        Column("one input", _one_input_time, one_input_seconds),
        Column("batch of 32", _batch_time, batch_seconds),
    ]
    return [
        Column("tier", _tier, lambda row: row.standing.tier if row.standing else None, _tier),
        Column("ranks", _ranks, _best_rank, _ranks),
        Column("method", lambda row: row.method, lambda row: row.method, lambda row: row.method),
        Column(score_name(board), _score, _mean, _score),
        Column("95 % interval", _interval, _mean),
        Column("seeds", _seeds, lambda row: len(row.finished)),
        Column("trainable", lambda row: show.count(trainable(row)), trainable, _short_trainable, "trained params"),
        Column("share", share, trainable),
        *([Column("train time", _train_time, train_seconds, _train_time)] if has_train_times(board) else ()),
        Column("peak memory", _peak_memory, peak_memory, _peak_memory),
        Column("adapter file", _adapter_file, adapter_bytes, _adapter_file),
        *(measured if any(row.cost for row in board.rows) else ()),
    ]


def has_train_times(board: Board) -> bool:
    """False where each run that trained shared its machine, so that there is no time to show."""
    return any(row.train_seconds for row in board.rows) or not any(row.shared_machine for row in board.rows)


def score_name(board: Board) -> str:
    """`accuracy ± std`."""
    return f"{board.main_metric} ± std"


def trainable(row: Row) -> int | None:
    """The most parameters that a run trains."""
    return row.largest(lambda record: record.trainable_parameters)


def train_seconds(row: Row) -> float | None:
    """The mean over runs, evaluation left out."""
    return row.train_seconds


def peak_memory(row: Row) -> int | None:
    """The peak memory of the largest run, in bytes."""
    return row.largest(lambda record: record.peak_memory_bytes)


def adapter_bytes(row: Row) -> int | None:
    """The largest file of trained weights."""
    return row.largest(lambda record: record.adapter_bytes)


def step_seconds(row: Row) -> float | None:
    """Of one training step on a quiet machine."""
    return row.cost.train_step.median if row.cost and row.cost.train_step else None


def one_input_seconds(row: Row) -> float | None:
    """Of inference on one input on a quiet machine."""
    return row.cost.one_input.median if row.cost else None


def batch_seconds(row: Row) -> float | None:
    """Of inference on a batch on a quiet machine."""
    return row.cost.batch.median if row.cost else None


def share(row: Row) -> str:
    """The trained parameters in per cent of all."""
    return show.share(trainable(row), row.largest(lambda record: record.total_parameters))


def _tier(row: Row) -> str:
    return str(row.standing.tier) if row.standing and row.standing.tier else show.NONE


def _ranks(row: Row) -> str:
    return show.ranks(row.standing.ranks if row.standing else None)


def _best_rank(row: Row) -> float | None:
    ranks = row.standing.ranks if row.standing else None
    return ranks[0] + ranks[1] / 1000 if ranks else None


def _score(row: Row) -> str:
    return show.spread(row.standing.mean, row.standing.std) if row.standing else show.NONE


def _mean(row: Row) -> float | None:
    return row.standing.mean if row.standing else None


def _interval(row: Row) -> str:
    return show.interval(row.standing.interval if row.standing else None)


def _seeds(row: Row) -> str:
    return ", ".join(str(record.seed) for record in row.finished.values()) or show.NONE


def _train_time(row: Row) -> str:
    return show.train_time(row.train_seconds, row.shared_machine)


def _step_time(row: Row) -> str:
    return show.milliseconds(step_seconds(row))


def _one_input_time(row: Row) -> str:
    return show.milliseconds(one_input_seconds(row)) + (" folded" if row.cost and row.cost.folded else "")


def _batch_time(row: Row) -> str:
    return show.milliseconds(batch_seconds(row)) + (" folded" if row.cost and row.cost.folded else "")


def _short_trainable(row: Row) -> str:
    return show.short_count(trainable(row))


def _peak_memory(row: Row) -> str:
    return show.size(peak_memory(row))


def _adapter_file(row: Row) -> str:
    return show.size(adapter_bytes(row))
