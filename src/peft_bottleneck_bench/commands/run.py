"""The command `run`: train and evaluate every method on every task, and rank them."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..shipped import shipped_configurations
from ..words import counted, visible

if TYPE_CHECKING:
    from ..configuration.choices import Configuration
    from ..grid.engines import Engine

DESCRIPTION = """\
Trains tasks × methods × models × seeds as FILE says, and ends with a table of all there is. The keys of FILE:

  model, tasks, methods   what is combined; one thing or a list
  tasks_from              a folder with task files of your own, or a list of them
  seeds                   one run for each; default 0
  limits                  {train: 1000}: no more examples of a split than that
  training                fields of transformers' TrainingArguments
  search                  {trials: 8, space: {learning_rate: [1e-4, 1e-3], weight_decay: {low: 0, high: 0.1}}}:
                          every method tries as many settings, {method: lora, search: {r: [4, 8]}} adds to its space;
                          the best on validation is run with all seeds. steps: 2000 in place of trials: as many
                          trials as 2,000 steps of training allow. Trials are kept below RESULTS-search
  dtype                   of the frozen base: auto (the default: as the checkpoint has it), float32, bfloat16, float16
  precision               of the computation: fp32 (the default), bf16, fp16, or auto: bf16 where the hardware has
                          it
  reuse_frozen_prefix     true: the blocks below everything that is trained are computed once for each example, without
                          dropout; their outputs are kept in RESULTS-prefix, up to prefix_limit_gib (20)
  resources               {cpus: 2, gpus: 0.25}: of a run on a cluster (--engine ray); with gpus: 2 or processes: 2
                          several processes train it together
  results, adapters       folders, or addresses of fsspec: s3://bucket/results (pip install "fsspec[s3]")
  max_length, quantization

A second start does what is missing: finished runs are skipped, failed ones tried again (failed trials are not).
Several processes or machines may share one results folder at any time. Each run is done by the first that claims it;
the others leave it out and say so. What a process that died was at is free at once: start the command again to go on
with it.

exit code: 0 done, or left to other processes; 1 a run failed; 2 FILE or the data are wrong; 3 a fault of this
program; 4 something could not be written (a full disk, a read-only folder); 130 ended by Ctrl-C or SIGTERM
"""
EXAMPLES = """\
examples:
  peft-bottleneck run quickstart
  peft-bottleneck run my.yaml training.learning_rate=3e-4 'seeds=[0]' results=runs/try
  peft-bottleneck run my.yaml --tasks-from my_tasks --dry-run
  peft-bottleneck run search --shard 1/4
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to those of a parser."""
    parser = commands.add_parser(
        "run",
        help="train and evaluate every method on every task, and rank them",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        type=Path,
        help=f"a run configuration in YAML, or the name of one that is shipped: {', '.join(shipped_configurations())}",
    )
    parser.add_argument(
        "overrides",
        metavar="KEY=VALUE",
        nargs="*",
        help="replaces a key of FILE; dots reach inside: training.learning_rate=3e-4",
    )
    parser.add_argument(
        "--init-adapter",
        metavar="DIR",
        help="train the weights further that an earlier run saved in DIR, in place of the methods of FILE",
    )
    parser.add_argument(
        "--tasks-from",
        metavar="DIR",
        action="append",
        help="a folder with task files of your own, in place of the `tasks_from` of FILE; may be given several times",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything, and print the plan: parameters, steps, what is finished, the memory of "
        "each run at its peak, and the time that is left, estimated from finished runs; trains and writes nothing",
    )
    parser.add_argument(
        "--memory",
        metavar="SIZE",
        type=_size,
        help="with --dry-run: say which of bits, gradient checkpointing and batch size fit in SIZE, such as 8GB or "
        "7.5GiB",
    )
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=_jobs,
        default=1,
        help="do N runs at once, each in a process with its share of the threads and of the memory of accelerators",
    )
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="ray: each run is a task of a Ray cluster and takes the `resources` of FILE there",
    )
    parser.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        default="",
        help="the cluster: auto, ray://HOST:10001, HOST:6379; left out, one of this machine alone",
    )
    parser.add_argument(
        "--shard",
        metavar="I/N",
        type=_shard,
        default=(1, 1),
        help="do the I-th of N parts of the plan, the same at every start; all trials and final runs of one method on "
        "one task and model are in one part. The table still shows the records of all parts",
    )
    interrupted = "interrupted: what is finished stays; the same command goes on from there"
    parser.set_defaults(command=_run, rest="overrides", interrupted=interrupted)


def _size(text: str) -> int:
    units = {"MB": 1000**2, "GB": 1000**3, "TB": 1000**4, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?) ?([MGT]I?B)", text.strip().upper())
    size = int(float(match[1]) * units[match[2]]) if match else 0
    if size < 1:
        raise argparse.ArgumentTypeError(f"expected a size such as 8GB or 7.5GiB, found '{text}'")
    return size


def _jobs(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,2}", text):
        raise argparse.ArgumentTypeError(f"expected a number of runs from 1 to 999, found '{text}'")
    return int(text)


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    part, parts = (int(number) for number in match.groups()) if match else (0, 0)
    if not 1 <= part <= parts:
        raise argparse.ArgumentTypeError(f"expected I/N with I from 1 to N, such as 1/4, found '{text}'")
    return part, parts


def _engine(parsed: argparse.Namespace, configuration: Configuration) -> Engine | None:
    """Where the runs are executed; None for this process.

    Raises:
        UserError: the options do not go together, or Ray is not installed.
    """
    from ..processes import count

    if parsed.ray_address and parsed.engine != "ray":
        raise UserError("--ray-address: it goes with --engine ray")
    if parsed.engine == "local" and parsed.jobs == 1:
        return None
    if count() > 1:
        raise UserError("--jobs, --engine: a launch of several processes trains one run at a time")
    if parsed.engine == "ray" and parsed.jobs > 1:
        raise UserError("--jobs: on a cluster, `resources` says how many runs go at once")
    if parsed.engine == "ray":
        from ..grid.ray_engine import RayEngine

        return RayEngine(parsed.ray_address, configuration.resources)
    from ..grid.jobs import Jobs

    return Jobs(parsed.jobs)


def _run(parsed: argparse.Namespace) -> int:
    from ..api import load_configuration, plan, run_grid
    from ..boards import render_table, write_page
    from ..configuration.choices import Resources
    from ..grid.lengths import length_notes
    from ..grid.memory_table import memory_table
    from ..grid.peak_memory import PeakMemory
    from ..grid.plan_table import plan_table
    from ..grid.prefix import prefix_notes
    from ..processes import check_launch, is_main
    from ..quiet import quiet_bars
    from ..records import remote
    from ..saved.initial import KEY
    from ..terminal import print_wide

    quiet_bars()
    check_launch()
    overrides = list(parsed.overrides)
    if parsed.init_adapter is not None:
        overrides.append(f"methods={json.dumps([{KEY: parsed.init_adapter}])}")
    if parsed.tasks_from is not None:
        overrides.append(f"tasks_from={json.dumps(parsed.tasks_from)}")
    if parsed.memory is not None and not parsed.dry_run:
        raise UserError("--memory: it goes with --dry-run")
    configuration = load_configuration(parsed.file, overrides)
    if parsed.engine != "ray":
        configuration = replace(configuration, resources=Resources())  # they are those of a cluster
    engine = _engine(parsed, configuration)
    whole = plan(configuration)
    for note in whole.notes if is_main() else ():
        print(f"note: {visible(note)}")
    part = whole.shard(*parsed.shard)
    if parsed.dry_run:
        if is_main():
            for note in (*length_notes(part.runs), *prefix_notes(part.runs)):
                print(f"note: {visible(note)}")
            peaks = PeakMemory()
            print_wide(plan_table(part.runs, part.searches, peaks, always=parsed.memory is not None))
            if parsed.memory is not None:
                print_wide(memory_table(part.known_runs, parsed.memory, peaks))
        return 0
    outcome = run_grid(part, engine=engine)
    found = whole.records
    if is_main():
        print()
        print_wide(render_table(found))
        results, adapters = remote.shown(configuration.results), remote.shown(configuration.adapters)
        print(f"\n{counted(len(found), 'record')} below {results}, adapters below {adapters}")
        if found:
            page = write_page(configuration.results)
            remote.send(configuration.results, [page])
            print(f"page: {page}")
    return 4 if outcome.unrecorded else 1 if outcome.failed else 0
