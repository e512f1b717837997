"""The boards as one self-contained HTML page: no network, no other file."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from ..statistics import Standing
from . import formatting, pictures
from .boards import Board
from .details import details
from .overview import Overview

_PARTS = files(__package__) / "templates"


def page(boards: Sequence[Board], overviews: Sequence[Overview], folder: Path) -> str:
    """The page for the boards of the records below `folder`.

    Whatever stands in records and predictions is escaped: by the template engine in the page itself, and by
    `textContent` in what the script adds.
    """
    environment = Environment(
        loader=FunctionLoader(_part), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {}  # keys stay in the order in which they are to be read
    methods = pictures.styles(boards)
    runs = [(path, record) for board in boards for row in board.rows for path, record in row.runs.items()]
    return environment.get_template("index.html").render(
        boards=[
            {
                "board": board,
                "id": f"board-{number}",
                "axis": _Axis(board),
                "pictures": {n: Markup(svg) for n, svg in pictures.inline(board, methods, f"p{number}").items()},
            }
            for number, board in enumerate(boards)
        ],
        overviews=overviews,
        methods=methods,
        runs=[details(path, record, folder) for path, record in runs],
        number_of={path: number for number, (path, _) in enumerate(runs)},
        failed=sum(record.status == "failed" for _, record in runs),
        tasks=sorted({board.record.task for board in boards}),
        models=sorted({board.record.model for board in boards}),
        show=formatting,
        style=Markup(_part("style.css")),
        script=Markup(_part("script.js")),
    )


def _part(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8")


class _Axis:
    """Where scores lie between the least and the greatest end of any interval on a board, in per cent."""

    def __init__(self, board: Board) -> None:
        standings = [row.standing for row in board.rows if row.standing]
        ends = [end for standing in standings for end in (standing.mean, *(standing.interval or ()))]
        self.low, self.high = min(ends, default=0.0), max(ends, default=1.0)

    def place(self, score: float) -> float:
        span = self.high - self.low
        return 100 * (score - self.low) / span if span else 50.0

    def marks(self, standing: Standing) -> dict[str, Any]:
        """Start, width and middle of the bar for a method."""
        low, high = standing.interval or (standing.mean, standing.mean)
        return {
            "start": self.place(low),
            "width": self.place(high) - self.place(low),
            "mean": self.place(standing.mean),
        }
