"""The boards as Markdown, for `LEADERBOARD.md`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from . import formatting as show
from .boards import Board, Row
from .overview import Overview

HOW_TO_READ = """\
**score**: mean ± standard deviation over seeds, on the test split. **95 % interval**: where the mean would fall for
other test examples and other seeds. **tier**: methods that the data cannot separate share one; a new tier begins only
where every method above differs significantly from every method below (paired tests over examples and seeds, Holm's
correction). **ranks**: the places that the tests leave possible. Incomplete methods are not ranked. Training time
leaves evaluation out."""


def markdown(boards: Sequence[Board], overviews: Sequence[Overview], pictures: Mapping[str, Sequence[str]]) -> str:
    """All boards as one document.

    Args:
        pictures: paths of each board's pictures by its title, relative to the document.
    """
    parts = ["# Leaderboard", "Generated from the records in this folder; do not edit.", HOW_TO_READ]
    for overview in overviews:
        parts += _overview(overview)
    for board in boards:
        parts += _board(board, pictures.get(board.title, ()))
    return "\n\n".join(part for part in parts if part) + "\n"


def _overview(overview: Overview) -> list[str]:
    header = ["method", *(f"{board.record.task} ({board.main_metric})" for board in overview.boards)]
    lines = []
    for line in overview.lines:
        cells = [
            f"{show.score(s.mean)} ({f'tier {s.tier}' if s.tier else 'not ranked'})" if s else show.NONE
            for s in line.standings
        ]
        if overview.unit:
            cells.append(f"incomplete: {', '.join(line.lacking)}" if line.mean is None else f"{line.mean:.2f}")
        lines.append([line.method, *cells])
    note = f"Mean: {overview.unit}; only over all {len(overview.boards)} tasks." if overview.unit else ""
    return [
        f"## {_text(overview.model)}: all tasks",
        _table([*header, *(["mean"] if overview.unit else [])], lines),
        note,
    ]


def _board(board: Board, pictures: Sequence[str]) -> list[str]:
    data, metric = board.record.data, board.record.metric
    revision = f" at {data.revision}" if data.revision else ""
    counts = " / ".join(f"{count:,} {split}" for split, count in data.counts)
    better = "greater" if board.greater_is_better else "smaller"
    facts = [
        f"Metric: {board.main_metric} ({better} is better), {_text(metric.signature)}.",
        f"Data: {_text(data.source)}{_text(revision)}, {counts} examples, "
        f"licence: {_text(data.licence or 'not stated')}.",
    ]
    header = [
        "tier",
        "ranks",
        "method",
        f"{board.main_metric} ± std",
        "95 % interval",
        "seeds",
        "trainable",
        "share",
        "train time",
        "peak memory",
        "adapter file",
    ]
    remarks = [f"- **{_text(row.method)}** is incomplete: {_text(row.problem)}" for row in board.rows if row.problem]
    remarks += [f"- {_text(note)}" for note in board.notes]
    return [
        f"## {_text(board.title)}",
        " ".join(facts),
        _table(header, [_cells(row) for row in board.rows]),
        "\n".join(remarks),
        "\n".join(f"![{_text(board.title)}]({path})" for path in pictures),
    ]


def _cells(row: Row) -> list[str]:
    standing = row.standing
    trainable = row.largest("trainable_parameters")
    return [
        str(standing.tier) if standing and standing.tier else show.NONE,
        show.ranks(standing.ranks if standing else None),
        row.method,
        show.spread(standing.mean, standing.std) if standing else show.NONE,
        show.interval(standing.interval if standing else None),
        ", ".join(str(record.seed) for record in row.finished.values()) or show.NONE,
        show.count(trainable),
        show.share(trainable, row.largest("total_parameters")),
        show.seconds(row.train_seconds),
        show.size(row.largest("peak_memory_bytes")),
        show.size(row.largest("adapter_bytes")),
    ]


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(map(_text, row))} |" for row in rows)


def _text(text: str | None) -> str:
    """`text` as itself, whatever Markdown or HTML it may look like."""
    escaped = (text or "").replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;")
    # An underscore within a word marks nothing up, and is better left readable.
    escaped = re.sub(r"[|*`\[\]]|(?<!\w)_|_(?!\w)", r"\\\g<0>", escaped)
    return " ".join(escaped.split())
