"""The command `publish`: records for others, without texts of the data."""

from __future__ import annotations

import argparse

from ..words import counted


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to those of a parser."""
    parser = commands.add_parser(
        "publish",
        help="copy records without texts of the data",
        description="Copies the records below RESULTS to FOLDER. Labels and numbers stay. Generated texts and their "
        "references become hashes, beside the statistics of the score: boards of the copy have the same ranks, and no "
        "text of the data set is passed on.",
    )
    parser.add_argument("results", metavar="RESULTS", help="a folder or an address")
    parser.add_argument("folder", metavar="FOLDER", help="a folder or an address")
    parser.set_defaults(command=_publish)


def _publish(parsed: argparse.Namespace) -> int:
    from ..boards.publishing import publish
    from ..files import writing
    from ..records import remote

    with remote.destination(parsed.folder) as folder, writing(folder):
        count = publish(remote.fetched(parsed.results), folder)
    print(f"{counted(count, 'record')} written below {parsed.folder}")
    return 0
