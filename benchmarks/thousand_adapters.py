"""The rate of `examples/serve_adapters.py`: many adapters on disk, few in memory, beside one that is always there.

    python benchmarks/thousand_adapters.py [--adapters 1000] [--seats 64] [--requests 2000] [--turns 3] [--record]

`--record` writes `benchmarks/speed/thousand_adapters.json`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from sharing import write

sys.path.append(str(Path(__file__).parents[1] / "examples"))
from serve_adapters import measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options = {"adapters": 1000, "seats": 64, "requests": 2000, "tokens": 32, "threads": 2}
    for name, value in options.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--record", action="store_true")
    given = {key: value for key, value in vars(parser.parse_args()).items() if key != "record"}
    turns = given.pop("turns")
    found = [list(measure(**given)) for _ in range(turns)]
    entries = [
        {
            "served": served[0][0],
            "requests_per_second": statistics.median(rate for _, rate, _ in served),
            "of_each_turn": [rate for _, rate, _ in served],
            "loads": served[0][2],
        }
        for served in zip(*found, strict=True)
    ]
    write("thousand_adapters", **given, turns=turns, entries=entries)


if __name__ == "__main__":
    main()
