"""The command `leaderboard`: tables, a page and pictures from the records of a folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import UserError


def add_to(commands: Any) -> None:
    """Adds the command to those of a parser."""
    parser = commands.add_parser(
        "leaderboard",
        help="make tables, a page and pictures from records",
        description="Writes LEADERBOARD.md, index.html and pictures/ into RESULTS, from all records below it.",
    )
    parser.add_argument("results", metavar="RESULTS", type=Path, nargs="?", default=Path("results"))
    parser.set_defaults(command=_leaderboard)


def _leaderboard(parsed: argparse.Namespace) -> int:
    from ..quiet import quiet

    quiet()
    from .. import records
    from ..leaderboard import build, render_table
    from ..terminal import print_wide, visible

    if not parsed.results.is_dir():
        raise UserError(f"{parsed.results}: no such folder")
    found, warnings = records.read_all(parsed.results)
    if not found:
        raise UserError(f"{parsed.results}: no records below it", *warnings)
    written = build(parsed.results)
    print_wide(render_table(found))
    for warning in warnings:
        print(f"left out: {visible(warning)}")
    print(f"\nwritten: {', '.join(str(path) for path in written[:2])} and {len(written) - 2} pictures")
    return 0
