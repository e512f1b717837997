"""What both benchmarks of the harness share: one run from a configuration, and a record of what came out."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft_bottleneck.bench.configuration.reading import load_configuration
from peft_bottleneck.bench.grid.plan import Run, plan
from peft_bottleneck.bench.quiet import quiet_bars
from peft_bottleneck.bench.speed.workbench.worker import versions
from peft_bottleneck.bench.training.features import make_features
from peft_bottleneck.bench.training.measure import hardware

HERE = Path(__file__).parent


def the_run(overrides: Sequence[str]) -> tuple[Run, Any]:
    """The only run of `sst2_files.yaml`, and its features."""
    quiet_bars()
    (run,) = plan(load_configuration(HERE / "sst2_files.yaml", overrides))
    return run, make_features(run)


def write(name: str, **figures: Any) -> None:
    """Writes `speed/<name>.json`, with the machine and the versions, and prints it."""
    record = {"hardware": hardware(), "versions": versions(), **figures}
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    (HERE / "speed" / f"{name}.json").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
