"""The share of a run's wall time that is not the model's forward pass, backward pass or optimiser, after one epoch.

    python benchmarks/harness_overhead.py [KEY=VALUE …]

Keys are those of `sst2_files.yaml`. Checkpoints count, the evaluations between the epochs do not.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from sharing import the_run, write
from torch import nn
from transformers import TrainerCallback, TrainerState

from peft_bottleneck_bench.training.execute import make_trainer
from peft_bottleneck_bench.training.training import train

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Ledger(TrainerCallback):  # type: ignore[misc]
    """Adds up what is spent where from the second epoch on."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys(("forward", "backward", "optimizer", "evaluation"), 0.0)
        self.counting = False
        self.started = 0.0
        self.opened = 0.0

    def timed(self, name: str, call: Callable[Given, Result]) -> Callable[Given, Result]:
        """`call`, its time booked under `name`."""

        def booked(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            start = time.perf_counter()
            result = call(*args, **kwargs)
            self.book(name, time.perf_counter() - start)
            return result

        return booked

    def book(self, name: str, seconds: float) -> None:
        if self.counting:
            self.spent[name] += seconds

    def on_epoch_begin(self, args: object, state: TrainerState, control: object, **_: object) -> None:
        if state.epoch >= 1 and not self.counting:
            self.counting, self.started = True, time.perf_counter()

    def on_pre_optimizer_step(self, args: object, state: TrainerState, control: object, **_: object) -> None:
        self.opened = time.perf_counter()

    def on_optimizer_step(self, args: object, state: TrainerState, control: object, **_: object) -> None:
        self.book("optimizer", time.perf_counter() - self.opened)


def main(overrides: list[str]) -> None:
    run, features = the_run(overrides)
    ledger = Ledger()
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(run, features, Path(folder), on_step=lambda step, steps: None)
        trainer.add_callback(ledger)
        forward_started: list[float] = []
        model = trainer.model

        def opened(module: nn.Module, args: object) -> None:
            forward_started.append(time.perf_counter())

        def closed(module: nn.Module, args: object, output: object) -> None:
            if module.training:
                ledger.book("forward", time.perf_counter() - forward_started[-1])

        model.register_forward_pre_hook(opened)
        model.register_forward_hook(closed)
        trainer.accelerator.backward = ledger.timed("backward", trainer.accelerator.backward)
        trainer.evaluate = ledger.timed("evaluation", trainer.evaluate)
        train(trainer)
        wall = time.perf_counter() - ledger.started - ledger.spent.pop("evaluation")
    inside = sum(ledger.spent.values())
    write(
        "harness_overhead",
        run=run.configuration["task"],
        method=run.method.label,
        training=run.configuration["training"],
        limits=run.configuration["limits"],
        wall_seconds=wall,
        seconds=ledger.spent,
        outside_share=1 - inside / wall,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
