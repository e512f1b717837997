"""The command `leaderboard`: tables, a page and pictures from the records of a folder, or tiers of any score table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    from ..boards.inputs import Inputs

EPILOG = """\
examples:
  peft-bottleneck leaderboard results
  peft-bottleneck leaderboard --from scores.csv

scores.csv has a header and one row per example: method, example, score; and, where there are several, task and seed.
The score of a method is its mean over examples, so a 0 or 1 per example gives accuracy. Where only totals are known, a
row has method, correct, examples.
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to those of a parser."""
    parser = commands.add_parser(
        "leaderboard",
        help="make tables, a page and pictures from records",
        description="Writes LEADERBOARD.md, index.html and pictures/ into RESULTS, from all records below it. With "
        "--from, ranks the methods of a table instead, and writes nothing.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "results", metavar="RESULTS", nargs="?", default="results", help="a folder or an address (results)"
    )
    parser.add_argument("--from", metavar="FILE", type=Path, dest="scores", help="a CSV file of scores by example")
    parser.add_argument("--less-is-better", action="store_true", help="with --from: the scores are errors")
    parser.add_argument(
        "--texts",
        metavar="FILE",
        help="a run configuration: the page shows the test examples of its tasks. Whoever passes the page on passes "
        "their texts on: see the licence of the data",
    )
    parser.set_defaults(command=_leaderboard)


def _leaderboard(parsed: argparse.Namespace) -> int:
    from .. import records
    from ..boards import build, render_table
    from ..records import remote
    from ..terminal import print_wide
    from ..words import visible

    if parsed.scores is not None:
        from ..boards.score_table import render_scores

        print_wide(render_scores(parsed.scores, greater_is_better=not parsed.less_is_better))
        return 0
    results = remote.fetched_folder(parsed.results)
    found, warnings = records.read_all(results)
    if not found:
        raise UserError(f"{parsed.results}: no records below it", *map(visible, warnings))
    written = build(results, _inputs(parsed.texts) if parsed.texts else None)
    remote.send(results, written)
    print_wide(render_table(found))
    for warning in warnings:
        print(f"left out: {visible(warning)}")
    print(f"\nwritten: {', '.join(str(path) for path in written[:2])} and {len(written) - 2} pictures")
    return 0


def _inputs(file: str) -> Inputs:
    """The test examples of a run configuration's tasks."""
    from ..api import load_configuration
    from ..boards.texts import inputs_of
    from ..data.loading import load_data
    from ..kinds import KINDS

    configuration = load_configuration(file)
    return inputs_of([(task, load_data(task, KINDS[task.kind], configuration.limits)) for task in configuration.tasks])
