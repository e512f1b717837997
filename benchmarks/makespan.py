"""How long the grid of the demo takes, from the command to its table, with one run at a time and with several.

    python benchmarks/makespan.py [--jobs 1 2] [--turns 3] [--record] [KEY=VALUE …]

Every turn starts `peft-bottleneck run quickstart --jobs N` in an empty folder. Overrides of the configuration may
follow. `--record` writes `benchmarks/speed/makespan.json`.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sharing import write

COMMAND = [sys.executable, "-m", "peft_bottleneck_bench.cli", "run", "quickstart"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("overrides", metavar="KEY=VALUE", nargs="*")
    given = parser.parse_args()
    found: dict[int, list[tuple[float, float]]] = {jobs: [] for jobs in given.jobs}
    for _ in range(given.turns):
        for jobs, turns in found.items():
            turns.append(once(jobs, given.overrides))
            print(f"--jobs {jobs}: {turns[-1][0]:.0f} s, {turns[-1][1]:.0f} s of processors", file=sys.stderr)
    entries = [
        {
            "jobs": jobs,
            "seconds": statistics.median(seconds for seconds, _ in turns),
            "of_each_turn": [seconds for seconds, _ in turns],
            "processor_seconds": statistics.median(spent for _, spent in turns),
        }
        for jobs, turns in found.items()
    ]
    write("makespan", overrides=given.overrides, turns=given.turns, entries=entries)


def once(jobs: int, overrides: list[str]) -> tuple[float, float]:
    """Seconds of one start in an empty folder, by the clock and of all its processes on processors."""
    with tempfile.TemporaryDirectory() as folder:
        before, start = spent(), time.perf_counter()
        options = ["--jobs", str(jobs), f"results={Path(folder) / 'results'}", *overrides]
        subprocess.run([*COMMAND, *options], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start, spent() - before


def spent() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
