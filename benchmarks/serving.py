"""The latency of served adapters against the base: the examples of serving, one after the other.

python benchmarks/serving.py [--rounds 200] [--only onnx_runtime plain_server sentence_embeddings] [--record]

A ratio is the median of the ratios of calls next to each other, with its 95 % interval. `--record` writes
`benchmarks/speed/serving.json`, from which `python tools/performance.py` makes the table of the page on serving.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from sharing import RECORD, write

from peft_bottleneck_bench.speed.rounds import paired_ratio

EXAMPLES = Path(__file__).parents[1] / "examples"
SERVED = ("onnx_runtime", "plain_server", "sentence_embeddings")


def measure(name: str, options: Sequence[str]) -> list[dict[str, object]]:
    """What an example returns: the seconds of each of its candidates, in turns."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    before, sys.argv = sys.argv, [name, *options]
    home = Path.cwd()
    try:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            seconds: dict[str, list[float]] = module.main()
            os.chdir(home)
    finally:
        sys.argv = before
    base = seconds["base"]
    return [
        {"example": name, "candidate": key, "seconds": median(found), "ratio": paired_ratio(found, base)}
        for key, found in seconds.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the examples of serving.")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--only", nargs="+", choices=SERVED, default=SERVED)
    parser.add_argument("--tiny", action="store_true", help="a small model and five calls, to try the script")
    parser.add_argument(RECORD, action="store_true")
    arguments = parser.parse_args()
    options = ["--rounds", str(arguments.rounds), *(["--tiny"] if arguments.tiny else [])]
    write(
        "serving",
        rounds=arguments.rounds,
        entries=[entry for name in arguments.only for entry in measure(name, options)],
    )


if __name__ == "__main__":
    main()
