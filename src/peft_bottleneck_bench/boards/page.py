"""The boards as one self-contained HTML page: no network, no other file."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from ..records import Prediction, Record
from ..statistics import Standing
from . import formatting
from .boards import Board, Row
from .columns import (
    adapter_bytes,
    batch_seconds,
    columns,
    one_input_seconds,
    peak_memory,
    share,
    step_seconds,
    train_seconds,
    trainable,
)
from .details import Details, details, thinned
from .examples import disagreements
from .inputs import Inputs
from .overview import Overview
from .samples import NotComparable, test_rows
from .verdict import remarks, verdict
from .window import window

_PARTS = files(__package__) / "templates"
_SCRIPTS = ("script.js", "pictures.js", "run.js")
_COSTS = {
    "trainable parameters": trainable,
    "train time (s)": train_seconds,
    "training step (s)": step_seconds,
    "one input (s)": one_input_seconds,
    "batch of 32 (s)": batch_seconds,
    "peak memory (B)": peak_memory,
    "adapter file (B)": adapter_bytes,
}


def page(boards: Sequence[Board], overviews: Sequence[Overview], folder: Path, inputs: Inputs | None = None) -> str:
    """The page for the boards of the records below `folder`; with `inputs`, examples show what they say.

    All text of records and predictions is escaped: by the template engine in the page, and by `textContent` in the
    script. The page's policy allows its own style and script alone, by their hashes.
    """
    environment = Environment(
        loader=FunctionLoader(_part), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {}  # keys keep their order
    style, script = _part("style.css"), "\n".join(map(_part, _SCRIPTS))
    runs: list[Details] = []
    shown = [_board(number, board, folder, runs, inputs or Inputs()) for number, board in enumerate(boards)]
    return environment.get_template("index.html").render(
        boards=shown,
        overviews=overviews,
        content={"boards": [item["content"] for item in shown], "runs": runs},
        number_of={run["key"]: number for number, run in enumerate(runs)},
        folder=folder,
        failed=sum(r.status == "failed" for b in boards for row in b.rows for r in row.runs.values()),
        tasks=sorted({board.record.task for board in boards}),
        models=sorted({board.record.model for board in boards}),
        show=formatting,
        share=share,
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'",
    )


def _part(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _board(number: int, board: Board, folder: Path, runs: list[Details], inputs: Inputs) -> dict[str, object]:
    """The template's data of a board; adds the details of its runs to `runs`."""
    texts = inputs.of(board.record)
    rows = {row.method: _rows(row) for row in board.rows}
    for row in board.rows:
        for (path, record), predictions in zip(row.runs.items(), rows[row.method], strict=True):
            runs.append(details(path.relative_to(folder), record, predictions, texts))
    # Only on a ranked board the predictions are sure to be of the same examples.
    comparable = {
        row.method: [run for run in rows[row.method] if isinstance(run, list)]
        for row in board.rows
        if board.ranking and row.method in board.ranking.standings
    }
    shown = columns(board)
    return {
        "board": board,
        "id": f"board-{number}",
        "axis": Axis(board),
        "columns": shown,
        "verdict": verdict(board),
        "remarks": remarks(board),
        "content": {
            "title": board.title,
            "metric": board.main_metric,
            "greaterIsBetter": board.greater_is_better,
            "window": window(board),
            "baseline": board.baseline and {"answer": board.baseline.answer, "score": board.baseline.score},
            "methods": [_method(row) for row in board.rows],
            "table": [[one.name for one in shown], *([one.cell(row) for one in shown] for row in board.rows)],
            "examples": disagreements(comparable, texts) if comparable else None,
        },
    }


def _rows(row: Row) -> list[list[Prediction] | str | None]:
    return [_test_rows(path, record) for path, record in row.runs.items()]


def _test_rows(path: Path, record: Record) -> list[Prediction] | str | None:
    if record.status == "failed":
        return None
    try:
        rows = test_rows(path, record)
    except NotComparable as error:
        return str(error)
    return "they were published without their texts" if any(row.statistics for row in rows) else rows


def _method(row: Row) -> dict[str, object]:
    """A method in the pictures and in the downloads."""
    standing = row.standing
    return {
        "name": row.method,
        "mean": standing and standing.mean,
        "std": standing and standing.std,
        "interval": standing and standing.interval,
        "tier": standing and standing.tier,
        "ranks": standing and standing.ranks,
        "complete": row.problem is None,
        "scores": {str(record.seed): record.test_score for record in row.finished.values()},
        "costs": {name: cost(row) for name, cost in _COSTS.items()},
        "losses": [thinned(record.loss_curve) for record in row.runs.values() if record.loss_curve],
    }


class Axis:
    """Where scores are in the window of a board, in per cent."""

    def __init__(self, board: Board) -> None:
        self.low, self.high = window(board)
        self.baseline: float | None = None
        if board.baseline and self.low - (self.high - self.low) <= board.baseline.score <= self.high:
            # A line farther away would leave no room for the intervals.
            self.low = min(self.low, board.baseline.score)
            self.baseline = self.place(board.baseline.score)

    def place(self, score: float) -> float:
        span = self.high - self.low
        return min(max(4 + 92 * (score - self.low) / span, 2.0), 98.0) if span else 50.0

    def marks(self, standing: Standing) -> dict[str, float | str]:
        """Start, width and middle of the bar for a method, and an arrow if its mean is beyond the axis."""
        low, high = standing.interval or (standing.mean, standing.mean)
        return {
            "start": self.place(low),
            "width": self.place(high) - self.place(low),
            "mean": self.place(standing.mean),
            "beyond": "‹" if standing.mean < self.low else "›" if standing.mean > self.high else "",
        }
