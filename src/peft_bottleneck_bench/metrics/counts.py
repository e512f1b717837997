"""Counts per label, from which accuracy, precision, recall, F1 and Matthews correlation follow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from .base import FloatArray, safe_divide

Label = TypeVar("Label")

RATIOS = ("precision", "recall", "f1")


def label_counts(references: Sequence[object], predictions: Sequence[object], labels: Sequence[object]) -> FloatArray:
    """Per example and label 1 or 0 for each of correct, predicted, gold: [examples, 3·labels]."""
    column = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(references), 3, len(labels)))
    for row, reference, prediction in zip(counts, references, predictions, strict=True):
        if prediction in column:
            row[1, column[prediction]] = 1
        if reference in column:
            row[2, column[reference]] = 1
            row[0, column[reference]] = reference == prediction
    return counts.reshape(len(references), -1)


def split_counts(sums: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sums of `label_counts` [..., 3·labels] as correct, predicted and gold, each [..., labels]."""
    correct, predicted, gold = np.split(sums, 3, axis=-1)
    return correct, predicted, gold


def f1(correct: FloatArray, predicted: FloatArray, gold: FloatArray) -> FloatArray:
    """`2·correct / (predicted + gold)`, the harmonic mean of precision and recall; 0 where there is neither."""
    return safe_divide(2 * correct, predicted + gold)


def averaged(name: str, correct: FloatArray, predicted: FloatArray, gold: FloatArray) -> FloatArray:
    """`micro_f1`, `macro_recall`, `weighted_precision` and so on of counts per label [..., labels].

    `precision` alone is that of the sum over the labels, as `micro_precision` is.
    """
    average, _, ratio = name.rpartition("_")
    if average in ("", "micro"):
        correct, predicted, gold = (counts.sum(-1, keepdims=True) for counts in (correct, predicted, gold))
    values = {
        "precision": safe_divide(correct, predicted),
        "recall": safe_divide(correct, gold),
        "f1": f1(correct, predicted, gold),
    }[ratio]
    if average == "weighted":
        return safe_divide((values * gold).sum(-1), gold.sum(-1))
    return mean_over(values, predicted + gold > 0)


def mean_over(values: FloatArray, present: object) -> FloatArray:
    """The mean of `values` over those of the last axis that are `present`; 0 where none is."""
    present = np.asarray(present, dtype=np.float64)
    return safe_divide((values * present).sum(-1), present.sum(-1))


def distinct(*sequences: Iterable[Label]) -> list[Label]:
    """All labels in the sequences, sorted, names and numbers apart."""
    return sorted({label for sequence in sequences for label in sequence}, key=lambda label: (str(type(label)), label))
