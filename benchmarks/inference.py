"""Inference of few candidates over many builds, for the targets that a run of all candidates is too coarse for.

    python benchmarks/inference.py --batch 16x128 --repeats 60
    python benchmarks/inference.py --model HuggingFaceTB/SmolLM2-135M-Instruct --batch 4x128 --repeats 30

Measured as by `peft-bottleneck speed`: every repetition builds the candidates anew, and they take turns.
"""

from __future__ import annotations

import sys
from functools import partial

from course import the_model, write

from peft_bottleneck.bench.speed.candidates import AS_WIDE, INFER, Candidate, Peft
from peft_bottleneck.bench.speed.hosts import Hosts
from peft_bottleneck.bench.speed.measuring import Measurement
from peft_bottleneck.bench.speed.workbench.workload import Session

FEW = ("base", "parallel_adapter, folded", AS_WIDE, "houlsby", "houlsby, bare calls in PEFT", "lora")


class Few(Measurement):
    """Only some of the candidates."""

    @property
    def rows(self) -> list[Candidate]:
        rows = {row.label: row for row in super().rows}
        return [rows[name] for name in FEW]


def main() -> None:
    base, (rows, tokens), repeats = the_model(__doc__)
    measurement = Few(base, (rows, tokens), repeats, None, report=partial(print, file=sys.stderr))
    times = list(measurement.over_builds(INFER, Hosts({"peft": Session(Peft(), measurement.setting)})))
    name = f"inference_{base.identity['name'].replace('/', '--')}"
    write(name, **{**measurement.frame(), "times": times})


if __name__ == "__main__":
    main()
