"""The boards as Markdown, for `LEADERBOARD.md`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..words import visible
from . import formatting as show
from .boards import Board
from .columns import columns
from .overview import Overview
from .verdict import remarks, verdict

HOW_TO_READ = """\
**score**: mean ± standard deviation over seeds, on the test split. **95 % interval**: where the mean would fall for
other test examples and other seeds. **tier**: methods that the data cannot separate share one; a new tier begins only
where every method above differs significantly from every method below (paired tests over examples and seeds, Holm's
correction). **ranks**: the places that the tests leave possible. Incomplete methods are not ranked. Training time
leaves evaluation out."""


def markdown(boards: Sequence[Board], overviews: Sequence[Overview], pictures: Sequence[Sequence[str]] = ()) -> str:
    """All boards as one document.

    Args:
        pictures: paths relative to the document, of each overview and then of each board.
    """
    drawn = iter(pictures or [()] * (len(overviews) + len(boards)))
    parts = ["# Leaderboard", "Generated from the records in this folder; do not edit.", HOW_TO_READ]
    for overview in overviews:
        parts += _overview(overview, next(drawn))
    for board in boards:
        parts += _board(board, next(drawn))
    return "\n\n".join(part for part in parts if part) + "\n"


def _overview(overview: Overview, pictures: Sequence[str]) -> list[str]:
    header = ["method", *(f"{board.record.task} ({board.main_metric})" for board in overview.boards), "average rank"]
    lines = []
    for line in overview.lines:
        cells = [
            f"{show.score(s.mean)} {show.star(s) if s.tier else '(not ranked)'}".strip() if s else show.NONE
            for s in line.standings
        ]
        rank = f"{line.rank:.2f}" if line.rank is not None else show.NONE
        lines.append([line.method, *cells, f"incomplete: {', '.join(line.lacking)}" if line.lacking else rank])
    return [
        f"## {_text(overview.model)}: all tasks",
        "\n".join(f"- {_text(line)}" for line in overview.verdict),
        _table(header, lines),
        "★ may be best on that task; ☆ scatters too much to rule it out. Average ranks are over the tasks that count, "
        "of the methods that are complete on each.",
        _images(overview.model, pictures),
    ]


def _board(board: Board, pictures: Sequence[str]) -> list[str]:
    data, metric = board.record.data, board.record.metric
    revision = f" at {data.revision}" if data.revision else ""
    counts = " / ".join(f"{count:,} {split}" for split, count in data.counts)
    better = "greater" if board.greater_is_better else "smaller"
    licence = f", licence: {data.licence}" if data.licence else ""
    facts = [
        f"Metric: {board.main_metric} ({better} is better), {metric.signature}.",
        f"Data: {data.source}{revision}, {counts} examples{licence}.",
    ]
    shown = columns(board)
    return [
        f"## {_text(board.title)}",
        "\n".join(f"- {_text(line)}" for line in verdict(board)),
        _text(" ".join(facts)),
        _table([column.name for column in shown], [[column.cell(row) for column in shown] for row in board.rows]),
        "\n".join(f"- {_text(line)}" for line in remarks(board)),
        _images(board.title, pictures),
    ]


def _images(title: str, paths: Sequence[str]) -> str:
    return "\n".join(f"![{_text(title)}]({path})" for path in paths)


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(map(_text, row))} |" for row in rows)


def _text(text: str) -> str:
    """`text` as itself, whatever Markdown or HTML it may look like."""
    escaped = visible(text).replace("\\", "\\\\").replace("&", "&amp;")
    escaped = re.sub(r"<(?=[A-Za-z!/?])", "&lt;", escaped)  # elsewhere it opens no tag
    # An underscore within a word marks nothing up, and is better left readable.
    escaped = re.sub(r"[|*`\[\]$~]|(?<!\w)_|_(?!\w)", r"\\\g<0>", escaped)
    return " ".join(escaped.split())
