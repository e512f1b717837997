"""The plan of a grid as a table: what would be trained, how large it is, and how long it may take."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from . import records
from .grid import finished_record
from .plan import Run
from .progress import duration

COLUMNS = ("task", "method", "model", "seeds", "finished", "trained", "total", "time left")


def plan_table(runs: Sequence[Run]) -> Group:
    """One row per task, model and method. The time left is what finished runs of the same kind took, where there are
    any below `results`: first those of the row itself, then others of its task and model.
    """
    table = Table(*COLUMNS, box=None, header_style="bold")
    known = _known_seconds({run.results for run in runs})
    total, unknown, left = 0.0, 0, 0
    for _, group in groupby(runs, key=lambda run: (run.task.name, run.model.name, run.method.label)):
        row = list(group)
        run = row[0]
        waiting = sum(finished_record(one) is None for one in row)
        seconds = _estimate(known, run)
        left += waiting
        if seconds is None:
            unknown += waiting
        else:
            total += seconds * waiting
        table.add_row(
            run.task.name,
            run.method.label,
            run.model.slug,
            " ".join(str(one.seed) for one in row),
            str(len(row) - waiting),
            f"{run.trainable_parameters:,}",
            f"{run.total_parameters:,}",
            "?" if seconds is None else duration(seconds * waiting),
        )
    estimate = f"about {duration(total)} of training" if unknown < left else "no time known yet"
    rest = f"; {unknown} runs have no finished run of their task and model to go by" if 0 < unknown < left else ""
    return Group(table, Text(f"\n{len(runs)} runs, {left} left: {estimate}{rest}"))


def _known_seconds(folders: set[Path]) -> dict[tuple[str, ...], list[float]]:
    """Training seconds of finished runs, by task, model and method, and by task and model."""
    known: dict[tuple[str, ...], list[float]] = {}
    for folder in folders:
        for record in records.read_all(folder)[0].values():
            if record["status"] == "finished":
                names = (record["task"], record["model"], record["method"])
                for key in (names, names[:2]):
                    known.setdefault(key, []).append(record["train_seconds"])
    return known


def _estimate(known: dict[tuple[str, ...], list[float]], run: Run) -> float | None:
    names = (run.task.name, run.model.slug, run.method.label)
    seconds = known.get(names) or known.get(names[:2])
    return sum(seconds) / len(seconds) if seconds else None
