"""The boards as tables for the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..words import visible
from .boards import Board, Runs, boards
from .columns import columns, score_name
from .overview import overviews
from .verdict import remarks, verdict


def render_table(runs: Runs) -> RenderableType:
    """One table and verdict per board of `runs`, which are records by path, and one verdict over all tasks."""
    found = boards(runs)
    tables: list[RenderableType] = [Padding(_table(board), (1, 0, 0, 0)) for board in found]
    tables += [_text("", f"{one.model}: all tasks", *one.verdict) for one in overviews(found)]
    return Group(*tables) if tables else Text("No records yet.")


def _table(board: Board) -> Table:
    table = Table(
        title=_text(board.title, style="bold"),
        title_justify="left",
        caption=_text(*verdict(board), *remarks(board)),
        caption_style="",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
    )
    shown = [(column.heading or column.name, column.short) for column in columns(board) if column.short]
    for name, _ in shown:
        if name == "method":  # the only column that may give way: numbers are never cut
            table.add_column(name, overflow="fold")
        elif name == score_name(board):
            better = "" if board.greater_is_better else "\n(less is better)"
            table.add_column(Text(visible(name) + better), justify="right", no_wrap=True)
        else:
            table.add_column(name.replace(" ", "\n"), justify="right", no_wrap=True)
    for row in board.rows:
        table.add_row(*(_text(cell(row)) for _, cell in shown))
    return table


def _text(*lines: str, style: str = "") -> Text:
    """`lines` without meaning to rich or to the terminal."""
    return Text("\n".join(map(visible, lines)), style=style)
