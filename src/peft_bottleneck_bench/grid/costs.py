"""Times of the methods of a grid: all methods of a task and model take turns in this process.

A grid's own times are of no use for that where its runs share a machine. Nothing here depends on trained weights, so
this may run before or after the grid.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import quantiles

import torch
from peft import PeftModel
from torch import nn

from ..hardware import hardware
from ..records.costs import Cost, Costs, Timing
from ..run import Run
from ..training import checkpoints
from ..training.execute import make_trainer
from ..training.features import make_features
from ..training.stopwatch import Stopwatch
from ..training.trainer import RunTrainer

WARM_UP = 2  # turns that do not count: the first ones fill caches
BATCH = 32  # test examples of the batch for inference
Call = Callable[[], object]


@dataclass(frozen=True)
class _Candidate:
    run: Run
    calls: dict[str, Call]
    folded: bool


def measure(runs: Iterable[Run], *, turns: int, say: Callable[[str], object] = print) -> Costs:
    """The costs of the methods of `runs`, one run of each task, model and method.

    Args:
        turns: how often each method is timed; at least 2, for quartiles.
        say: is called at the start of each task.
    """
    watch = Stopwatch()
    rows: list[Cost] = []
    batch_sizes: set[int] = set()
    with watch:
        for group in _groups(runs):
            say(f"{group[0].task.name} · {group[0].model.slug}: {len(group)} methods, {turns} turns each")
            rows += _measure(group, turns)
            batch_sizes |= {int(run.training["per_device_train_batch_size"]) for run in group}
    return Costs(
        measured=datetime.now(timezone.utc).replace(microsecond=0),
        hardware=hardware(),
        versions=checkpoints.versions(),
        threads=torch.get_num_threads(),
        turns=turns,
        train_batch_size=max(batch_sizes),
        batch_size=BATCH,
        others_cpu_share=watch.others_share,
        rows=tuple(rows),
    )


def _groups(runs: Iterable[Run]) -> list[list[Run]]:
    """The first run of each method, by task and model."""
    groups: dict[tuple[str, str], dict[str, Run]] = {}
    for run in runs:
        groups.setdefault((run.task.name, run.model.slug), {}).setdefault(run.method.label, run)
    return [list(group.values()) for group in groups.values()]


def _measure(group: Sequence[Run], turns: int) -> list[Cost]:
    with tempfile.TemporaryDirectory() as folder:
        candidates = [_candidate(run, Path(folder)) for run in group]
        seconds: dict[tuple[int, str], list[float]] = {}
        for turn in range(-WARM_UP, turns):
            for number, candidate in enumerate(candidates):
                for name, call in candidate.calls.items():
                    start = time.perf_counter()
                    call()
                    if turn >= 0:
                        seconds.setdefault((number, name), []).append(time.perf_counter() - start)
    return [
        Cost(
            task=candidate.run.task.name,
            model=candidate.run.model.slug,
            method=candidate.run.method.label,
            train_step=_timing(seconds[number, "train_step"]) if "train_step" in candidate.calls else None,
            one_input=_timing(seconds[number, "one_input"]),
            batch=_timing(seconds[number, "batch"]),
            folded=candidate.folded,
        )
        for number, candidate in enumerate(candidates)
    ]


def _candidate(run: Run, folder: Path) -> _Candidate:
    features = make_features(run)
    trainer = make_trainer(run, features, folder, lambda step, steps: None)
    calls: dict[str, Call] = {}
    merged = _merged(trainer.model)  # before Accelerate puts its own `forward` on the model
    model = trainer.accelerator.prepare_model(trainer.model)
    if any(parameter.requires_grad for parameter in model.parameters()):
        inputs = next(iter(trainer.get_train_dataloader()))
        trainer.create_optimizer()
        calls["train_step"] = lambda: _train_step(trainer, model, inputs)
    # Prepared once: each time Accelerate would wrap `forward` again, and methods that do not merge would pay for it.
    reading = model if merged is None else trainer.accelerator.prepare_model(merged, evaluation_mode=True)
    rows = features["test"].rows  # the longest first
    for name, places in (
        ("one_input", [len(rows) // 2]),
        ("batch", range(0, len(rows), max(1, len(rows) // BATCH))[:BATCH]),
    ):
        collated = trainer.collators["evaluation"]([rows[place] for place in places])
        calls[name] = lambda collated=collated: _read(trainer, reading, dict(collated))  # type: ignore[misc]
    return _Candidate(run, calls, merged is not None)


def _train_step(trainer: RunTrainer, model: nn.Module, inputs: dict[str, torch.Tensor]) -> None:
    model.train()
    with trainer.compute_loss_context_manager():
        loss = trainer.compute_loss(model, trainer._prepare_inputs(dict(inputs)))
    loss.backward()
    trainer.optimizer.step()
    trainer.optimizer.zero_grad()
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def _read(trainer: RunTrainer, model: nn.Module, inputs: dict[str, torch.Tensor]) -> None:
    model.eval()
    trainer.prediction_step(model, inputs, prediction_loss_only=False)
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def _merged(model: nn.Module) -> nn.Module | None:
    """A copy with the adapter merged into the base; None for a method that cannot merge, or has no adapter."""
    if not isinstance(model, PeftModel):
        return None
    # How PEFT says that a method does not merge: prompts lack the method, others raise one of the two.
    with suppress(NotImplementedError, ValueError, AttributeError):
        merged: nn.Module = copy.deepcopy(model).merge_and_unload()
        return merged
    return None


def _timing(values: Sequence[float]) -> Timing:
    low, median, high = quantiles(values, n=4)
    return Timing(low=low, median=median, high=high)
