"""One training: the best weights on validation are kept and restored, and a lost one is ended."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from transformers import Seq2SeqTrainingArguments, TrainerCallback

from .. import interruption, processes
from ..configuration.training_options import OWN
from ..saved.parameters import restore, trained_parameters
from .checkpoints import Best

if TYPE_CHECKING:
    from .trainer import RunTrainer

# Set before the metric's own scores, to tell them from those that transformers adds (loss, runtime).
PREFIX = "eval_metric_"


class RunError(Exception):
    """A training that cannot go on; the message is the reason in its record."""


@dataclass(frozen=True)
class Trained:
    """What a training gives beside the weights, which are in the model."""

    validation: Mapping[str, float]
    best_step: int
    seconds: float
    examples_per_second: float
    peak_memory_bytes: int
    loss_curve: list[tuple[int, float]]
    validation_curve: list[tuple[int, float]]


class KeepBest(TrainerCallback):  # type: ignore[misc]
    """Saves the trained parameters whenever validation improves, and stops when it has not for `patience` times.

    Only what is trained is written, so this is as cheap for a large base as for a small one.
    """

    def __init__(self, file: Path, metric: str, *, greater_is_better: bool, patience: int | None) -> None:
        self.file = file
        self.metric = metric
        self.sign = 1 if greater_is_better else -1
        self.patience = patience
        self.best = Best()

    def on_evaluate(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        metrics = event["metrics"]
        scores = {name.removeprefix(PREFIX): value for name, value in metrics.items() if name.startswith(PREFIX)}
        score = scores[self.metric]
        best = self.best
        best.curve.append((state.global_step, score))
        if not best.validation or self.sign * score > self.sign * best.validation[self.metric]:
            best.validation, best.step, best.waited = scores, state.global_step, 0
            if processes.is_main():
                save_file(trained_parameters(event["model"]), self.file)
            return
        best.waited += 1
        if self.patience is not None and best.waited >= self.patience:
            control.should_training_stop = True
            control.should_save = False  # nobody goes on from here: a checkpoint would be taken for one to go on from

    def resume(self, best: Best, weights: Path) -> None:
        """Takes up what an earlier start left: what is known of the `best` weights, and the file that holds them."""
        self.best = best.model_copy(deep=True)
        if best.validation and processes.is_main():
            shutil.copyfile(weights, self.file)


class Watch(TrainerCallback):  # type: ignore[misc]
    """Reports progress, and ends a training whose loss is no longer a number, or that a signal has asked to end."""

    def __init__(self, on_step: Callable[[int, int], None]) -> None:
        self.on_step = on_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        interruption.check()
        self.on_step(state.global_step, state.max_steps)

    def on_prediction_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        interruption.check()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        loss = logs.get("loss", 0.0)
        if not math.isfinite(loss):
            raise RunError(f"the training loss is {loss} at step {state.global_step}: try a lower learning_rate")


def training_arguments(training: Mapping[str, Any], *, seed: int, folder: Path) -> Seq2SeqTrainingArguments:
    """`training` as transformers takes it, with what the harness sets itself; checkpoints go below `folder`."""
    arguments = Seq2SeqTrainingArguments(
        output_dir=str(folder),
        seed=seed,
        data_seed=seed,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        **{
            # Said, since several processes without an accelerator do not find each other otherwise.
            "use_cpu": not torch.accelerator.is_available(),
            "log_level_replica": "passive",  # as quiet as the main process
            "logging_nan_inf_filter": False,  # a loss that is not a number must be seen
            "dataloader_pin_memory": torch.accelerator.is_available(),
            **{key: value for key, value in training.items() if key not in OWN},
        },
    )
    if arguments.n_gpu > 1:
        # One process, one GPU: transformers would take all there are by nn.DataParallel, and multiply the batch size.
        arguments._n_gpu = 1
    return arguments


def train(trainer: RunTrainer, checkpoint: Path | None = None) -> Trained:
    """Trains, restores the best weights into the model, and tells what it took.

    Where nothing is open to training, the model is evaluated as it is.

    Args:
        checkpoint: of an earlier start of the same run, to go on from.
    """
    keep_best = trainer.keep_best
    if not any(parameter.requires_grad for parameter in trainer.model.parameters()):
        with trainer.peak:
            trainer.evaluate()
        best = keep_best.best
        return Trained(best.validation, 0, 0.0, 0.0, trainer.peak.bytes, [], best.curve)
    trainer.train(checkpoint)
    state = trainer.state
    if not keep_best.best.validation:
        trainer.evaluate()  # nothing was evaluated on the way: the last weights are the best known
    elif keep_best.best.step != state.global_step:
        processes.wait_for_everyone()  # the main process has written the file
        restore(trainer.accelerator.unwrap_model(trainer.model), keep_best.file)
    return Trained(
        validation=keep_best.best.validation,
        best_step=keep_best.best.step,
        seconds=trainer.clock.seconds,
        examples_per_second=state.epoch * len(trainer.train_dataset) / trainer.clock.seconds,
        peak_memory_bytes=trainer.peak_memory_bytes,
        loss_curve=[(entry["step"], entry["loss"]) for entry in state.log_history if "loss" in entry],
        validation_curve=keep_best.best.curve,
    )
