"""One training: transformers' `Trainer`, with the best weights on validation kept and restored."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, Seq2SeqTrainingArguments, Trainer, TrainerCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from .training_options import OWN

# Set before the metric's own figures, to tell them from those that transformers adds (loss, runtime).
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
    loss_curve: list[list[float]]
    validation_curve: list[list[float]]


class RunTrainer(Trainer):  # type: ignore[misc]  # transformers has no types
    """`Trainer` with an order of examples that depends on the seed alone, and with the time of evaluations counted.

    transformers draws the order from the global random state, which dropout and fresh adapters advance differently
    for each method; then methods under one seed would see their examples in different orders.
    """

    def __init__(
        self,
        *,
        lengths: Sequence[int],
        generation: Mapping[str, Any],
        collators: Mapping[str, Callable[..., Any]],
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.lengths = lengths
        self.generation = generation
        self.collators = collators
        self.evaluation_seconds = 0.0
        self.remove_callback(PrinterCallback)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        return LengthGroupedSampler(
            self.args.train_batch_size * self.args.gradient_accumulation_steps,
            lengths=list(self.lengths),
            generator=torch.Generator().manual_seed(self.args.seed),
        )

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        return SequentialSampler(eval_dataset)

    def _get_dataloader(self, *arguments: Any, is_training: bool = False, **options: Any) -> Any:
        self.data_collator = self.collators["training" if is_training else "evaluation"]
        return super()._get_dataloader(*arguments, is_training=is_training, **options)

    def prediction_step(self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None) -> Any:
        """Where the model generates: what it wrote, without the prompt, in place of logits and loss."""
        if not self.generation:
            return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        inputs = self._prepare_inputs(inputs)
        prompt = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            written = self.accelerator.unwrap_model(model).generate(**prompt, **self.generation)
        if not self.accelerator.unwrap_model(model).config.is_encoder_decoder:
            written = written[:, prompt["input_ids"].shape[1] :]
        return None, written.contiguous(), inputs["labels"]

    def evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
        start = time.perf_counter()
        metrics: dict[str, float] = super().evaluate(*arguments, **options)
        self.evaluation_seconds += time.perf_counter() - start
        return metrics


class KeepBest(TrainerCallback):  # type: ignore[misc]
    """Saves the trained parameters whenever validation improves, and stops when it has not for `patience` times.

    Only what is trained is written, so this is as cheap for a large base as for a small one.
    """

    def __init__(self, file: Path, metric: str, *, greater_is_better: bool, patience: int | None) -> None:
        self.file = file
        self.metric = metric
        self.sign = 1 if greater_is_better else -1
        self.patience = patience
        self.validation: dict[str, float] = {}
        self.step = 0
        self.curve: list[list[float]] = []
        self.waited = 0

    def on_evaluate(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        metrics = event["metrics"]
        figures = {name.removeprefix(PREFIX): value for name, value in metrics.items() if name.startswith(PREFIX)}
        score = figures[self.metric]
        self.curve.append([state.global_step, score])
        if not self.validation or self.sign * score > self.sign * self.validation[self.metric]:
            self.validation, self.step, self.waited = figures, state.global_step, 0
            save_file(trained_parameters(event["model"]), self.file)
            return
        self.waited += 1
        if self.patience is not None and self.waited >= self.patience:
            control.should_training_stop = True


class Watch(TrainerCallback):  # type: ignore[misc]
    """Reports progress, and ends a training whose loss is no longer a number."""

    def __init__(self, on_step: Callable[[int, int], None]) -> None:
        self.on_step = on_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.on_step(state.global_step, state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        loss = logs.get("loss", 0.0)
        if not math.isfinite(loss):
            raise RunError(f"the training loss is {loss} at step {state.global_step}: try a lower learning_rate")


def trained_parameters(model: Any) -> dict[str, torch.Tensor]:
    """Copies of the parameters that are open to training, by name, on the CPU."""
    return {
        name: parameter.detach().to("cpu", copy=True).contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def training_arguments(training: Mapping[str, Any], *, seed: int, folder: Path) -> Seq2SeqTrainingArguments:
    """`training` as transformers takes it, with what the harness sets itself."""
    return Seq2SeqTrainingArguments(
        output_dir=str(folder),
        seed=seed,
        data_seed=seed,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        **{
            "logging_nan_inf_filter": False,  # a loss that is not a number must be seen
            "dataloader_pin_memory": torch.accelerator.is_available(),
            **{key: value for key, value in training.items() if key not in OWN},
        },
    )


def train(trainer: RunTrainer, keep_best: KeepBest) -> Trained:
    """Trains, restores the best weights into the model, and tells what it took.

    Where nothing is open to training, the model is evaluated as it is.
    """
    if not any(parameter.requires_grad for parameter in trainer.model.parameters()):
        trainer.evaluate()
        return Trained(keep_best.validation, 0, 0.0, 0.0, [], keep_best.curve)
    start = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - start - trainer.evaluation_seconds
    state = trainer.state
    if not keep_best.validation:
        trainer.evaluate()  # nothing was evaluated on the way: the last weights are the best known
    elif keep_best.step != state.global_step:
        restore(trainer.accelerator.unwrap_model(trainer.model), keep_best.file)
    return Trained(
        validation=keep_best.validation,
        best_step=keep_best.step,
        seconds=seconds,
        examples_per_second=state.epoch * len(trainer.train_dataset) / seconds,
        loss_curve=[[entry["step"], entry["loss"]] for entry in state.log_history if "loss" in entry],
        validation_curve=keep_best.curve,
    )


def restore(model: Any, file: Path) -> None:
    """Copies the parameters in `file` into the parameters of `model` that have their names."""
    saved = load_file(file)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in saved:
                parameter.copy_(saved[name])
