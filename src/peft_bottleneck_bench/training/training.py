"""One training, from its settings to the best weights on validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import Seq2SeqTrainingArguments

from .. import processes
from ..configuration.training_options import OWN
from ..saved.parameters import restore
from .trainer import RunTrainer


@dataclass(frozen=True)
class Trained:
    """The result of a training besides the weights, which are in the model."""

    validation: Mapping[str, float]
    best_step: int
    steps: int
    seconds: float
    examples_per_second: float
    others_cpu_share: float
    peak_memory_bytes: int
    loss_curve: list[tuple[int, float]]
    validation_curve: list[tuple[int, float]]


def training_arguments(
    training: Mapping[str, object], *, seed: int, folder: Path, name: str = ""
) -> Seq2SeqTrainingArguments:
    """`training` as transformers takes it, with what the harness sets itself; checkpoints go below `folder`.

    Trackers (`report_to`) know the run by `name`.
    """
    arguments = Seq2SeqTrainingArguments(
        output_dir=str(folder),
        seed=seed,
        data_seed=seed,
        disable_tqdm=True,
        remove_unused_columns=False,
        **{
            "report_to": "none",
            "run_name": name or None,
            # Explicit, since several processes without an accelerator do not find each other otherwise.
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
    """Trains, restores the best weights into the model, and returns the costs.

    Without trainable parameters, the model is evaluated as it is.

    Args:
        checkpoint: of an earlier start of the same run, to go on from.
    """
    keep_best = trainer.keep_best
    if not any(parameter.requires_grad for parameter in trainer.model.parameters()):
        with trainer.peak:
            trainer.evaluate()
        best = keep_best.best
        return Trained(best.validation, 0, 0, 0.0, 0.0, 0.0, trainer.peak.bytes, [], best.curve)
    trainer.train(checkpoint)
    state = trainer.state
    if not keep_best.best.validation:
        trainer.evaluate()  # nothing was evaluated during training: the last weights are the best known
    elif keep_best.best.step != state.global_step:
        processes.wait_for_everyone()  # the main process has written the file
        restore(trainer.accelerator.unwrap_model(trainer.model), keep_best.file)
    return Trained(
        validation=keep_best.best.validation,
        best_step=keep_best.best.step,
        steps=state.global_step,
        seconds=trainer.clock.seconds,
        examples_per_second=state.epoch * len(trainer.train_dataset) / trainer.clock.seconds,
        others_cpu_share=trainer.clock.others_share,
        peak_memory_bytes=trainer.peak_memory_bytes,
        loss_curve=[(entry["step"], entry["loss"]) for entry in state.log_history if "loss" in entry],
        validation_curve=keep_best.best.curve,
    )
