"""transformers' `Trainer` for a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from datasets import Dataset
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader, Sampler, SequentialSampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import TrainOutput

from .. import processes
from ..kinds.generation import generate
from ..saved.parameters import restore, trained_parameters
from ..workbench.memory import PeakMemory
from . import checkpoints
from .callbacks import KeepBest
from .sampler import SeededSampler
from .stopwatch import Stopwatch


class RunTrainer(Trainer):  # type: ignore[misc]  # transformers has no types
    """`Trainer` with a sampler of its own, small checkpoints, and a count of the seconds that are training alone.

    Args:
        lengths: of the training examples, in tokens.
        generation: arguments of `generate`, for kinds that generate.
        collators: for `training` and for `evaluation`.
    """

    def __init__(
        self,
        *,
        lengths: Sequence[int],
        generation: Mapping[str, object],
        collators: Mapping[str, Callable[..., Mapping[str, object]]],
        keep_best: KeepBest,
        callbacks: Sequence[TrainerCallback],
        **arguments: object,
    ) -> None:
        self.keep_best = keep_best
        super().__init__(callbacks=[keep_best, SetEpoch(self), *callbacks], **arguments)
        self.lengths = lengths
        self.generation = generation
        self.collators = collators
        self.sampler: SeededSampler | None = None
        self.peak = PeakMemory()
        self.peak_memory_bytes = 0
        self.clock = Stopwatch()
        self.remove_callback(PrinterCallback)

    def train(self, resume_from_checkpoint: str | Path | None = None, **options: object) -> TrainOutput:
        """As `Trainer.train`; `clock` and `peak_memory_bytes` cover the starts before `resume_from_checkpoint`."""
        if resume_from_checkpoint is not None:
            checkpoint = Path(resume_from_checkpoint)
            progress = checkpoints.read(checkpoint)
            self.clock.passed, self.peak_memory_bytes = progress.seconds, progress.peak_memory_bytes
            self.keep_best.resume(progress.best, checkpoint / checkpoints.BEST_FILE)
        with self.peak, self.clock:
            outcome = super().train(resume_from_checkpoint, **options)
        self.peak_memory_bytes = max(self.peak_memory_bytes, self.peak.bytes)
        return outcome

    def evaluate(self, *arguments: object, **options: object) -> dict[str, float]:
        with self.clock.pause():
            metrics: dict[str, float] = super().evaluate(*arguments, **options)
        return metrics

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[torch.Tensor | None, ...]:
        """For models that generate: the written text without the prompt, in place of logits and loss."""
        if not self.generation:
            outputs: tuple[torch.Tensor | None, ...] = super().prediction_step(
                model, inputs, prediction_loss_only, ignore_keys
            )
            return outputs
        inputs = self._prepare_inputs(inputs)
        prompt = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        with torch.inference_mode(), self.compute_loss_context_manager():
            written = generate(self.accelerator.unwrap_model(model), prompt, self.generation)
        return None, written.contiguous(), inputs["labels"]

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Writes the trainable parameters, and nothing of a frozen base."""
        if processes.is_main():
            folder = Path(output_dir or self.args.output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            save_file(trained_parameters(self.model), folder / checkpoints.PARAMETERS_FILE)

    def _save_checkpoint(self, model: nn.Module, trial: object) -> None:
        with self.clock.pause():
            super()._save_checkpoint(model, trial)
            processes.wait_for_everyone()  # each writes the state of its own random numbers
            if processes.is_main():
                folder = Path(self.args.output_dir, f"checkpoint-{self.state.global_step}")
                memory = max(self.peak_memory_bytes, self.peak.so_far())
                best, weights = self.keep_best.best, self.keep_best.file
                checkpoints.complete(folder, self.clock.seconds, memory, best, weights)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        restore(model or self.model, Path(resume_from_checkpoint, checkpoints.PARAMETERS_FILE))

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int] | None:
        if self.args.train_sampling_strategy != "group_by_length":
            sampler: Sampler[int] | None = super()._get_train_sampler(train_dataset)
            return sampler
        batch_size = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        self.sampler = SeededSampler(batch_size, self.lengths, self.args.seed)
        return self.sampler

    def _get_eval_sampler(self, eval_dataset: Dataset) -> Sampler[int]:
        return SequentialSampler(eval_dataset)

    def _get_dataloader(self, *arguments: object, is_training: bool = False, **options: object) -> DataLoader[object]:
        self.data_collator = self.collators["training" if is_training else "evaluation"]
        loader: DataLoader[object] = super()._get_dataloader(*arguments, is_training=is_training, **options)
        return loader


class SetEpoch(TrainerCallback):  # type: ignore[misc]
    """Sets the epoch of the sampler; `Trainer` reaches a sampler only through few wrappers."""

    def __init__(self, trainer: RunTrainer) -> None:
        self.trainer = trainer

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        if self.trainer.sampler is not None:
            self.trainer.sampler.epoch = int(state.epoch)
