"""The boards as tables for the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from . import formatting as show
from .boards import Board, Row, Runs, boards


def render_table(runs: Runs) -> RenderableType:
    """One table per board of `runs`, which are records by path, as `records.read_all` gives them."""
    tables = [Padding(_table(board), (1, 0, 0, 0)) for board in boards(runs)]
    return Group(*tables) if tables else Text("No records yet.")


def _table(board: Board) -> Table:
    table = Table(
        title=Text(board.title, style="bold"),
        title_justify="left",
        caption=Text("\n".join(_remarks(board))),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
    )
    score = f"{board.main_metric} ± std"
    if not board.greater_is_better:
        score += "\n(less is better)"
    table.add_column("tier", justify="right", no_wrap=True)
    table.add_column("rank", justify="right", no_wrap=True)
    table.add_column("method", overflow="fold")  # the only column that may give way: figures are never cut
    for name in (score, "trained\nparams", "train\ntime", "peak\nmemory", "adapter\nfile"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in board.rows:
        table.add_row(*map(Text, _cells(row)))
    return table


def _cells(row: Row) -> list[str]:
    standing = row.standing
    return [
        str(standing.tier) if standing and standing.tier else show.NONE,
        show.ranks(standing.ranks if standing else None),
        row.method,
        show.spread(standing.mean, standing.std) if standing else show.NONE,
        show.short_count(row.largest("trainable_parameters")),
        show.seconds(row.train_seconds),
        show.size(row.largest("peak_memory_bytes")),
        show.size(row.largest("adapter_bytes")),
    ]


def _remarks(board: Board) -> list[str]:
    return [*(f"{row.method} is incomplete: {row.problem}" for row in board.rows if row.problem), *board.notes]
