"""The command `peft-bottleneck`. Arguments are read before anything heavy is imported, so that `--help` is instant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import board, compare, convert, listing, predict
from .errors import UserError

EXAMPLES = """\
examples:
  peft-bottleneck run configs/quickstart.yaml
  peft-bottleneck run configs/quickstart.yaml training.learning_rate=3e-4 'seeds=[0]' results=/tmp/try
  peft-bottleneck convert adapterhub_checkpoint peft_checkpoint --model bert-base-uncased
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code: 0 done, 1 some runs failed, 2 a user's error, 130 interrupted."""
    parsed = _parser().parse_args(arguments)
    try:
        code: int = parsed.command(parsed)
    except UserError as error:
        for message in error.messages:
            print(f"error: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: what is finished stays; the same command goes on from there", file=sys.stderr)
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="peft-bottleneck",
        description="Train and rank bottleneck adapters and the methods they are compared with.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="train and evaluate every method on every task, and rank them",
        description="Trains tasks × methods × models × seeds as FILE says, skips finished runs, ends with a table.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("file", metavar="FILE", type=Path, help="a run configuration in YAML; see configs/")
    run.add_argument(
        "overrides",
        metavar="KEY=VALUE",
        nargs="*",
        help="replaces a key of FILE; dots reach inside: training.learning_rate=3e-4",
    )
    run.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything, print the plan with parameter counts, train nothing",
    )
    run.set_defaults(command=_run)
    for command in (listing, board, compare, predict, convert):
        command.add_to(commands)
    return parser


def _run(parsed: argparse.Namespace) -> int:
    from .quiet import quiet, quiet_bars

    quiet()
    from .configuration import load_configuration
    from .grid import run_grid
    from .leaderboard import render_table
    from .plan import plan
    from .plan_table import plan_table
    from .progress import print_wide

    quiet_bars()
    configuration = load_configuration(parsed.file, parsed.overrides)
    runs = plan(configuration)
    if parsed.dry_run:
        print_wide(plan_table(runs))
        return 0
    outcome = run_grid(runs)
    print()
    print_wide(render_table(outcome.records))
    print(f"\n{len(outcome.records)} records below {configuration.results}, adapters below {configuration.adapters}")
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main())
