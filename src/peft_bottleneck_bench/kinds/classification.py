"""One of a few labels for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from transformers.utils import ModelOutput

from ..statistics.samples import FloatArray
from .base import Answers, Context, Encoded, Example, Kind, Loss, Outputs, encode_texts, texts_of


class SequenceKind(Kind):
    """One output for a text or a pair of texts, from a head on the model's pooled output."""

    optional_columns = ("text_pair",)
    head_class = "AutoModelForSequenceClassification"
    peft_task = "SEQ_CLS"


class OneLabel(Kind):
    """One of the task's labels per example, the one with the greatest logit."""

    settings: ClassVar[tuple[str, ...]] = ("labels", "class_weights")

    def stand_in(self, row: Example, context: Context) -> object:
        return context.labels[0]

    def label_numbers(self, examples: Sequence[Example], context: Context) -> list[int]:
        """The number of each example's label."""
        numbers = {name: number for number, name in enumerate(context.labels)}
        return [numbers[example[self.label_column]] for example in examples]

    def loss(self, context: Context) -> Loss | None:
        return _weighted_loss(context.class_weights) if context.class_weights else None

    def probabilities(self, output: FloatArray, context: Context) -> dict[str, float]:
        return dict(zip(context.labels, torch.softmax(torch.as_tensor(output), dim=-1).tolist(), strict=True))

    def predictions(
        self, outputs: Outputs, encoded: Encoded, examples: Sequence[Example], context: Context
    ) -> Answers:
        return [context.labels[number] for number in np.asarray(outputs).argmax(axis=-1)]


class Classification(OneLabel, SequenceKind):
    """Columns `text`, optionally `text_pair`, and `label`, a name or a whole number."""

    name = "classification"
    columns = ("text", "label")
    metrics = ("classification",)
    label_column = "label"

    def example(self, row: Example) -> Example:
        texts_of(row)
        return {**row, "label": label_name(row, "label")}

    def model_options(self, context: Context) -> dict[str, object]:
        return label_options(context.labels)

    def encode(self, examples: Sequence[Example], context: Context, *, training: bool) -> Encoded:
        columns, cut = encode_texts(examples, context)
        columns["labels"] = self.label_numbers(examples, context)
        return Encoded(columns, range(len(examples)), cut)


def label_name(row: Example, column: str) -> str:
    """The label in `column`, a name or a whole number, as text.

    Raises:
        ValueError: it is neither.
    """
    label = row[column]
    if not isinstance(label, (str, int)) or not str(label).strip():
        raise ValueError(f"'{column}' must be a name or a whole number, found {label!r}")
    return str(label).strip()


def _weighted_loss(weights: Sequence[float]) -> Loss:
    """`1/n Σ w_y CE(logits, y)` over the `n` examples of a batch, or of all that accumulate to one step."""

    def loss(
        outputs: ModelOutput, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        of_label = torch.tensor(weights, device=outputs.logits.device)
        total = torch.nn.functional.cross_entropy(outputs.logits.float(), labels, weight=of_label, reduction="sum")
        return total / (labels.numel() if num_items_in_batch is None else num_items_in_batch)

    return loss


def label_options(labels: Sequence[str]) -> dict[str, Any]:
    """The labels as a model's configuration holds them."""
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {name: number for number, name in enumerate(labels)},
    }
