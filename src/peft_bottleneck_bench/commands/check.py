"""The command `check`: whether a folder of records can join a board."""

from __future__ import annotations

import argparse

from ..errors import UserError
from ..words import counted

EPILOG = """\
examples:
  peft-bottleneck check their-results
  peft-bottleneck check their-results --against results
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to those of a parser."""
    parser = commands.add_parser(
        "check",
        help="validate the records of a folder",
        description="Checks every record below DIR: its schema and protocol, the hash of its configuration, its "
        "predictions, and that they give its score. With --against, also that data and metric are those of the "
        "records below RESULTS, so that both share boards. The exit code is 2 if anything is wrong.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="DIR", help="a folder or an address")
    parser.add_argument("--against", metavar="RESULTS", help="a folder of records to share boards with")
    parser.set_defaults(command=_check)


def _check(parsed: argparse.Namespace) -> int:
    from ..boards.checking import check
    from ..records import remote
    from ..words import visible

    folders = {text: remote.fetched(text) for text in (parsed.folder, parsed.against) if text}
    for text, folder in folders.items():
        if not folder.is_dir():
            raise UserError(f"{text}: no such folder")
    sound, problems = check(folders[parsed.folder], folders.get(parsed.against))
    if problems:
        raise UserError(*map(visible, problems))
    print(f"{counted(sound, 'record')} below {parsed.folder}: nothing is wrong")
    return 0
