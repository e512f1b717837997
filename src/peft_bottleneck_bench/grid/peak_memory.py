"""The peak memory of a run, predicted before it: a training step and an evaluation batch of the longest inputs.

Weights, gradients, the state of AdamW and everything that lives for the backward pass count. The interpreter, the
context of a GPU and what its kernels take for themselves do not, nor does a generation in an evaluation.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, replace
from functools import partial

import torch

from peft_bottleneck.quantization import outside_the_blocks

from ..kinds import Encoded
from ..models.trainable import make_trainable
from ..run import Run
from ..workbench.fake_memory import peak_bytes, quantise

MOST_EXAMPLES = 2_000  # of a split whose length is looked at
MOST_SHAPES = 12  # that a plan predicts without being asked: each takes a second or two


@dataclass(frozen=True)
class Form:
    """What decides the memory of a run beside its model and method.

    Args:
        quantization: `8bit`, `4bit` or None.
        checkpointing: whether blocks compute again what they would keep.
        batch_size: rows of a training step.
    """

    quantization: str | None
    checkpointing: bool
    batch_size: int

    @classmethod
    def of(cls, run: Run) -> Form:
        """That of a planned run."""
        names = ("gradient_checkpointing", "activation_checkpointing")
        checkpointing = any(bool(run.training.get(name)) for name in names)
        return cls(run.model.quantization, checkpointing, int(run.training["per_device_train_batch_size"]))


class PeakMemory:
    """Predictions, each made once."""

    def __init__(self) -> None:
        self._peaks: dict[str, int | None] = {}
        self._encoded: dict[tuple[str, str, str], Encoded] = {}

    def shapes(self, runs: list[Run]) -> int:
        """How many different predictions the runs need."""
        return len({self._key(run, Form.of(run)) for run in runs})

    def of(self, run: Run, form: Form | None = None) -> int | None:
        """The peak of `run` in bytes, in another form if one is given; None where it cannot be predicted.

        A model whose steps depend on values, or a method that computes with the weights while it is applied, cannot.
        """
        form = form or Form.of(run)
        key = self._key(run, form)
        if key not in self._peaks:
            try:
                self._peaks[key] = self._predict(run, form)
            except Exception:  # whatever a model does with numbers that are not there
                self._peaks[key] = None
        return self._peaks[key]

    def _key(self, run: Run, form: Form) -> str:
        """Runs with one key take the same memory."""
        longest = [
            sorted(self._rows(run, split).lengths)[-size:]
            for split, size in (("train", form.batch_size), ("validation", _evaluated(run)))
        ]
        says: list[object] = [
            run.model.name,
            run.model.dtype,
            run.method.name,
            dict(run.method.options),
            run.kind.name,
        ]
        says += [len(run.context.labels), longest, form.quantization, form.checkpointing, form.batch_size]
        says += [run.training.get("bf16"), run.training.get("fp16"), bool(run.context.class_weights)]
        return json.dumps(says, default=str)

    def _rows(self, run: Run, split: str) -> Encoded:
        key = (run.task.name, run.model.name, split)
        if key not in self._encoded:
            examples = run.data.splits[split][:MOST_EXAMPLES]
            self._encoded[key] = run.kind.encode(examples, run.context, training=split == "train")
        return self._encoded[key]

    def _batch(self, run: Run, split: str, size: int) -> dict[str, object]:
        """The longest rows of a split, as the kind collates them; the longest one again where there are too few."""
        encoded = self._rows(run, split)
        lengths = encoded.lengths
        rows = sorted(range(len(lengths)), key=lambda row: -lengths[row])[:size]
        rows += rows[:1] * (size - len(rows))
        collate = run.kind.collator(run.context, training=split == "train")
        return dict(collate([{name: column[row] for name, column in encoded.columns.items()} for row in rows]))

    def _predict(self, run: Run, form: Form) -> int:
        context = replace(run.context, model=replace(run.model, quantization=None))
        loss = run.kind.loss(run.context)
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")
            base = run.kind.skeleton(context)
            if form.quantization:
                quantise(base, form.quantization, outside_the_blocks(base), torch.bfloat16)
            model = make_trainable(base, run.method.name, run.method.options, run.kind.task_type(run.model.config))
            if form.checkpointing:
                model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return peak_bytes(
                model,
                self._batch(run, "train", form.batch_size),
                precision=next((name for name in ("bf16", "fp16") if run.training.get(name)), "fp32"),
                loss=loss and partial(loss, num_items_in_batch=None),
                evaluation=None if run.kind.generates else self._batch(run, "validation", _evaluated(run)),
            )


def _evaluated(run: Run) -> int:
    """The rows of an evaluation batch; a split may have fewer."""
    return min(int(run.training["per_device_eval_batch_size"]), run.data.counts["validation"])
