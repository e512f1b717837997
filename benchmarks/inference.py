"""Inference of few candidates over many builds, for the targets that a run of all candidates is too coarse for.

    python benchmarks/inference.py --batch 16x128 --repeats 60
    python benchmarks/inference.py --model HuggingFaceTB/SmolLM2-135M-Instruct --batch 4x128 --repeats 30

Measured as by `peft-bottleneck speed`: every repetition builds the candidates anew, and they take turns.
"""

from __future__ import annotations

from course import few, write

from peft_bottleneck_bench.speed.candidates import AS_WIDE, INFER, Peft
from peft_bottleneck_bench.speed.hosts import Hosts
from peft_bottleneck_bench.workbench.workload import Session

FEW = ("base", "parallel_adapter, folded", AS_WIDE, "houlsby", "houlsby, bare calls in PEFT", "lora")


def main() -> None:
    measurement = few(__doc__, FEW)
    times = list(measurement.over_builds(INFER, Hosts({"peft": Session(Peft(), measurement.setting)})))
    name = f"inference_{measurement.base.identity['name'].replace('/', '--')}"
    write(name, **{**measurement.frame(), "times": times})


if __name__ == "__main__":
    main()
