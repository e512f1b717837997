"""What the benchmarks share: one run from a configuration, a measurement from the command line, and a record."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.hardware import hardware
from peft_bottleneck_bench.models.base_model import BaseModel
from peft_bottleneck_bench.quiet import quiet, quiet_bars
from peft_bottleneck_bench.run import Run
from peft_bottleneck_bench.speed.candidates import Candidate
from peft_bottleneck_bench.speed.command import DEFAULT_MODEL
from peft_bottleneck_bench.speed.measuring import Measurement
from peft_bottleneck_bench.training.features import make_features
from peft_bottleneck_bench.workbench.worker import versions

HERE = Path(__file__).parent


def the_run(overrides: Sequence[str]) -> tuple[Run, Any]:
    """The only run of `sst2_files.yaml`, and its features."""
    quiet_bars()
    (run,) = plan(load_configuration(HERE / "sst2_files.yaml", overrides))
    return run, make_features(run)


@dataclass(frozen=True)
class Few(Measurement):
    """Only some of the candidates, in an order of their own: what is compared is measured close together.

    `others` are not among those of `peft-bottleneck speed`.
    """

    chosen: Sequence[str] = ()
    others: Sequence[Candidate] = ()

    @property
    def rows(self) -> list[Candidate]:
        rows = {row.label: row for row in super().rows}
        return [*self.others, *(rows[name] for name in self.chosen if name in rows)]


def few(description: str | None, chosen: Sequence[str], *others: Candidate) -> Few:
    """A measurement of these candidates as a command line asks for it; those of a peer only where it names one."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--batch", default="16x128", metavar="ROWSxTOKENS")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--peer-python", type=Path, metavar="PYTHON")
    given = parser.parse_args()
    quiet()
    quiet_bars()
    rows, tokens = map(int, given.batch.split("x"))
    return Few(
        BaseModel.named(given.model),
        (rows, tokens),
        given.repeats,
        given.peer_python,
        report=partial(print, file=sys.stderr),
        chosen=chosen,
        others=others,
    )


def write(name: str, **figures: Any) -> None:
    """Writes `speed/<name>.json`, with the machine and the versions, and prints it."""
    record = {"hardware": hardware().model_dump(), "versions": versions(), **figures}
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    (HERE / "speed" / f"{name}.json").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
