"""What Ray adds to a run, and whether it stays flat: short tasks in the place of training, on three nodes.

    python benchmarks/ray_overhead.py [--runs 1000] [--warm-up 60] [--turns 3] [--record]

The nodes are processes of this machine with one processor each. A task takes `TASK_SECONDS` and writes a record. The
runs of the warm-up, during which the processes of the nodes start, do not count. `--record` writes
`benchmarks/speed/ray_overhead.json`, from which `python tools/performance.py` makes a sentence of the pages.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharing import write

from peft_bottleneck_bench import load_configuration, plan
from peft_bottleneck_bench.configuration.choices import Resources
from peft_bottleneck_bench.grid.attempt import Result, record_failure
from peft_bottleneck_bench.grid.ray_engine import RayEngine
from peft_bottleneck_bench.grid.running import run_grid
from peft_bottleneck_bench.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ray import ObjectRef

NODES = 3
TASK_SECONDS = 0.005
PART = 100  # runs at either end that are compared


def short(run: Run, on_step: Callable[[int, int], None], say: Callable[[str], object]) -> Result:
    """A task of milliseconds, which writes a record."""
    time.sleep(TASK_SECONDS)
    on_step(1, 1)
    return record_failure(run, "done")


class Timed(RayEngine):
    """Keeps when each run ended, by the clock of the driver."""

    ends: list[float]

    def result(self, ref: ObjectRef[Any], run: Run) -> Result:
        found = super().result(ref, run)
        self.ends.append(time.perf_counter())
        return found


def measure(address: str, runs: Sequence[Run], warm_up: int) -> dict[str, float]:
    """Seconds from the end of a run to that of the next: of all after the warm-up, and of `PART` at either end."""
    engine = Timed(address, Resources(cpus=1), short)
    engine.ends = []
    outcome = run_grid(runs, engine=engine)
    assert [record.reason for record in outcome.records.values()] == ["done"] * len(runs)
    ends = engine.ends[warm_up - 1 :]
    part = min(PART, (len(ends) - 1) // 2)
    return {
        "all": (ends[-1] - ends[0]) / (len(ends) - 1),
        "first": (ends[part] - ends[0]) / part,
        "last": (ends[-1] - ends[-1 - part]) / part,
    }


def runs_in(folder: str, number: int) -> list[Run]:
    """As many runs of the demo's data and model, which differ in their seeds."""
    overrides = ["methods=[head_only]", "seeds=[0]", f"results={folder}/results"]
    (first,) = plan(load_configuration("quickstart", overrides)).runs
    return [replace(first, seed=seed) for seed in range(number)]


@contextmanager
def cluster() -> Iterator[str]:
    """The address of a Ray cluster of `NODES` nodes, whose processes find this file."""
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for _ in range(NODES - 1):
            nodes.add_node(num_cpus=1)
        nodes.wait_for_nodes()
        yield nodes.address
    finally:
        nodes.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="that count (default: 1000)")
    parser.add_argument("--warm-up", type=int, default=60, help="runs before them (default: 60)")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    turns = []
    with cluster() as address:
        for _ in range(given.turns):
            with tempfile.TemporaryDirectory() as folder:
                turns.append(measure(address, runs_in(folder, given.warm_up + given.runs), given.warm_up))
            print(", ".join(f"{name} {value * 1000:.1f} ms" for name, value in turns[-1].items()), file=sys.stderr)
    write(
        "ray_overhead",
        nodes=NODES,
        task_seconds=TASK_SECONDS,
        runs=given.runs,
        warm_up=given.warm_up,
        part=min(PART, given.runs // 2),
        turns=turns,
        seconds={name: statistics.median(turn[name] for turn in turns) for name in turns[0]},
    )


if __name__ == "__main__":
    main()
