"""The command `costs`: times of the methods of a grid, on a quiet machine."""

from __future__ import annotations

import argparse

from ..errors import UserError

EPILOG = """\
examples:
  peft-bottleneck costs configs/quickstart.yaml
  peft-bottleneck costs mine.yaml --turns 31

Nothing else should run meanwhile: `leaderboard` shows the times only where other processes used less than a tenth of
the processors.
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to those of a parser."""
    parser = commands.add_parser(
        "costs",
        help="measure what the methods of a grid cost in time",
        description="Times a training step, one input and a batch of 32 of every method of FILE, by turns in one "
        "process, and writes RESULTS/costs.json, from which `leaderboard` takes its cost columns.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="a run configuration, or the name of one that comes along")
    parser.add_argument("overrides", metavar="KEY=VALUE", nargs="*", help="settings that replace those of FILE")
    parser.add_argument("--turns", metavar="N", type=int, default=15, help="how often each is timed (default: 15)")
    interrupted = "interrupted: nothing is written; the same command measures everything anew"
    parser.set_defaults(command=_costs, rest="overrides", interrupted=interrupted)


def _costs(parsed: argparse.Namespace) -> int:
    if parsed.turns < 2:
        raise UserError(f"--turns: quartiles need at least 2, found {parsed.turns}")
    from ..api import load_configuration, plan
    from ..files import check_writable, writing
    from ..grid.costs import measure
    from ..records import costs, remote
    from ..records.schema import SHARED

    configuration = load_configuration(parsed.file, parsed.overrides)
    check_writable(configuration.results)
    whole = plan(configuration)
    trials = (search.state().trials[0] for search in whole.searches)
    found = measure([*whole.runs, *trials], turns=parsed.turns)
    with writing(configuration.results):
        path = costs.write(found, configuration.results)
    remote.send(configuration.results, [path])
    print(f"written: {path}")
    if found.others_cpu_share > SHARED:
        print(
            f"note: other processes used {found.others_cpu_share:.0%} of the processors meanwhile: `leaderboard` does "
            "not show these times; measure again on a quiet machine"
        )
    return 0
