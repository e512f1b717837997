"""The command `peft-bottleneck`. Arguments are read before anything heavy is imported, beyond PEFT itself."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from . import speed
from .commands import board, compare, convert, listing, predict
from .errors import UserError
from .processes import check_launch, speaks

EXAMPLES = """\
examples:
  peft-bottleneck run configs/quickstart.yaml
  peft-bottleneck run configs/quickstart.yaml training.learning_rate=3e-4 'seeds=[0]' results=/tmp/try
  peft-bottleneck run configs/search.yaml --dry-run
  peft-bottleneck run configs/search.yaml --shard 1/4
  peft-bottleneck convert adapterhub_checkpoint peft_checkpoint --model bert-base-uncased
"""

RUN = """\
Trains tasks × methods × models × seeds as FILE says, and ends with a table of all there is. The keys of FILE:

  model, tasks, methods   what is combined; one thing or a list
  seeds                   one run for each; default 0
  limits                  {train: 1000}: no more examples of a split than that
  training                fields of transformers' TrainingArguments
  search                  {trials: 8, space: {learning_rate: [1e-4, 1e-3], weight_decay: {low: 0, high: 0.1}}}:
                          every method tries as many settings, {method: lora, search: {r: [4, 8]}} adds to its space;
                          the best on validation is run with all seeds. Trials are kept below RESULTS-search
  max_length, quantization, results, adapters

A second start does what is missing: finished runs are skipped, failed ones tried again (failed trials are not).
Several processes or machines may share one results folder at any time. Each run is done by the first that claims it;
the others leave it out and say so. The claim of a process that died is free at once on its own machine, and after two
minutes on others: start the command again to take over what it left.

exit code: 0 done, or left to other processes; 1 a run failed; 2 FILE or the data are wrong; 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code: 0 done, 1 some runs failed, 2 a user's error, 130 interrupted."""
    parsed = _parse(arguments)
    try:
        code: int = parsed.command(parsed)
    except UserError as error:
        for message in error.messages if speaks() else ():
            print(f"error: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if speaks():
            print("interrupted: what is finished stays; the same command goes on from there", file=sys.stderr)
        return 130
    return code


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; overrides may also follow an option, which argparse alone takes for their end."""
    parser = _parser()
    parsed, rest = parser.parse_known_args(arguments)
    if unknown := [word for word in rest if word.startswith("-") or not hasattr(parsed, "overrides")]:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if rest:
        parsed.overrides = [*parsed.overrides, *rest]
    return parsed


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
        description=RUN,
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
        "--init-adapter",
        metavar="DIR",
        help="go on training what an earlier run saved in DIR, in place of the methods of FILE",
    )
    run.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything, and print the plan: parameters, steps, what is finished, and the time that is left, "
        "reckoned from finished runs; trains and writes nothing",
    )
    run.add_argument(
        "--shard",
        metavar="I/N",
        type=_shard,
        default=(1, 1),
        help="do the I-th of N parts of the plan, the same at every start; all trials and final runs of one method on "
        "one task and model are in one part. The table still shows the records of all parts",
    )
    run.set_defaults(command=_run)
    for command in (listing, board, compare, predict, convert, speed):
        command.add_to(commands)
    return parser


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    part, parts = (int(number) for number in match.groups()) if match else (0, 0)
    if not 1 <= part <= parts:
        raise argparse.ArgumentTypeError(f"expected I/N with I from 1 to N, such as 1/4, found '{text}'")
    return part, parts


def _run(parsed: argparse.Namespace) -> int:
    from .quiet import quiet, quiet_bars

    quiet()
    from .configuration.reading import load_configuration
    from .grid.plan import head_notes
    from .grid.plan_table import plan_table
    from .grid.running import known_records, run_grid
    from .grid.search import plan_grid
    from .leaderboard import render_table
    from .processes import is_main, on_main
    from .saved.initial import KEY
    from .terminal import print_wide

    quiet_bars()
    check_launch()
    overrides = list(parsed.overrides)
    if parsed.init_adapter is not None:
        overrides.append(f"methods={json.dumps([{KEY: parsed.init_adapter}])}")
    configuration = load_configuration(parsed.file, overrides)
    runs, searches = plan_grid(configuration)
    trials = [trial for search in searches for trial in search.trials]
    for note in head_notes([*runs, *trials]) if is_main() else ():
        print(f"note: {note}")
    part, parts = parsed.shard
    own_runs, own_searches = runs[part - 1 :: parts], searches[part - 1 :: parts]
    if parsed.dry_run:
        if is_main():
            print_wide(plan_table(own_runs, own_searches))
        return 0
    outcome = run_grid(own_runs, own_searches)
    found = on_main(lambda: known_records(runs, searches))
    if is_main():
        print()
        print_wide(render_table(found))
        print(f"\n{len(found)} records below {configuration.results}, adapters below {configuration.adapters}")
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main())
