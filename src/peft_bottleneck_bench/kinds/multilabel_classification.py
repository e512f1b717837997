"""Any number of labels for a text or a pair of texts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers.utils import ModelOutput

from ..statistics.samples import FloatArray
from .base import Answers, Context, Encoded, Example, Loss, Outputs, encode_texts, texts_of
from .classification import SequenceKind, label_options

THRESHOLD = 0.5  # of a label that the validation split lacks


class MultilabelClassification(SequenceKind):
    """Columns `text`, optionally `text_pair`, and `labels`: a list of names, which may be empty, or a text with them
    between commas, semicolons or bars.

    Each label has its own probability, and is predicted where that reaches its threshold: the one with the label's
    best F1 on validation. The loss is binary cross-entropy.
    """

    name = "multilabel_classification"
    columns = ("text", "labels")
    metrics = ("multilabel",)
    label_column = "labels"
    calibrates = True
    settings = ("labels", "class_weights")

    def example(self, row: Example) -> Example:
        texts_of(row)
        labels = row["labels"]
        if isinstance(labels, str):
            labels = [part for part in re.split(r"[,;|]", labels) if part.strip()]
        if not isinstance(labels, (list, tuple)) or not all(isinstance(name, (str, int)) for name in labels):
            raise ValueError(f"'labels' must be a list of names, found {row['labels']!r}")
        names = [str(name).strip() for name in labels]
        if "" in names:
            raise ValueError(f"'labels' must be a list of names, found {row['labels']!r}")
        return {**row, "labels": sorted(set(names))}

    def stand_in(self, row: Example, context: Context) -> object:
        return []

    def labels_of(self, example: Example) -> Sequence[str]:
        return list(example["labels"])

    def model_options(self, context: Context) -> dict[str, object]:
        return {**label_options(context.labels), "problem_type": "multi_label_classification"}

    def encode(self, examples: Sequence[Example], context: Context, *, training: bool) -> Encoded:
        columns, cut = encode_texts(examples, context)
        columns["labels"] = [[float(name in example["labels"]) for name in context.labels] for example in examples]
        return Encoded(columns, range(len(examples)), cut)

    def class_weights(self, counts: Mapping[str, int], examples: int, labels: Sequence[str]) -> tuple[float, ...]:
        """`(n - n_l) / n_l`, by which the positive part of the loss of label `l` is multiplied."""
        return tuple((examples - counts[name]) / counts[name] if counts.get(name) else 1.0 for name in labels)

    def loss(self, context: Context) -> Loss | None:
        if not context.class_weights:
            return None

        def weighted(
            outputs: ModelOutput, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
        ) -> torch.Tensor:
            weights = torch.tensor(context.class_weights, device=outputs.logits.device)
            total = binary_cross_entropy_with_logits(
                outputs.logits.float(), labels.float(), pos_weight=weights, reduction="sum"
            )
            return total / (labels.numel() if num_items_in_batch is None else num_items_in_batch)

        return weighted

    def calibrated(self, outputs: Outputs, examples: Sequence[Example], context: Context) -> Context:
        probabilities = _sigmoid(np.asarray(outputs))
        gold = np.array([[name in example["labels"] for name in context.labels] for example in examples])
        return replace(
            context,
            thresholds=tuple(
                best_threshold(probabilities[:, column], gold[:, column]) for column in range(len(context.labels))
            ),
        )

    def predictions(
        self, outputs: Outputs, encoded: Encoded, examples: Sequence[Example], context: Context
    ) -> Answers:
        thresholds = np.array(context.thresholds or [THRESHOLD] * len(context.labels))
        chosen = _sigmoid(np.asarray(outputs)) >= thresholds
        return [[name for name, given in zip(context.labels, row, strict=True) if given] for row in chosen]

    def probabilities(self, output: FloatArray, context: Context) -> dict[str, float]:
        return dict(zip(context.labels, _sigmoid(np.asarray(output)).tolist(), strict=True))


def best_threshold(probabilities: Any, gold: Any) -> float:
    """The threshold on `probabilities` [examples] with the best F1 for `gold` [examples], halfway between the two
    probabilities that it separates.
    """
    if not gold.any():
        return THRESHOLD
    order = np.argsort(-probabilities, kind="stable")
    ordered = probabilities[order]
    correct = np.cumsum(gold[order])
    f1 = 2 * correct / (np.arange(1, len(gold) + 1) + gold.sum())
    last_of_its_value = np.append(ordered[:-1] != ordered[1:], True)  # equal ones are on one side
    best = int(np.argmax(np.where(last_of_its_value, f1, -1.0)))
    below = ordered[best + 1] if best + 1 < len(ordered) else 0.0
    return float((ordered[best] + below) / 2)


def _sigmoid(logits: Any) -> Any:
    return 1 / (1 + np.exp(-logits.astype(np.float64)))
