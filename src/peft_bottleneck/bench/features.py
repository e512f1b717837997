"""Tokenised once per task and tokenizer, used by every run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset

from .data import SPLITS
from .plan import Run


@dataclass(frozen=True)
class Split:
    """The features of a split. For evaluation they are sorted by length, so that batches hold little padding.

    `order[i]` is the place, among the examples, of row `i`.
    """

    rows: Dataset
    lengths: Sequence[int]
    order: Sequence[int]

    def restore(self, values: Sequence[Any]) -> list[Any]:
        """`values`, one per row, in the order of the examples."""
        restored: list[Any] = [None] * len(self.order)
        for place, value in zip(self.order, values, strict=True):
            restored[place] = value
        return restored


def make_features(run: Run) -> dict[str, Split]:
    """The three splits of the run's data as model inputs."""
    return {split: _split(run, split) for split in SPLITS}


def _split(run: Run, split: str) -> Split:
    features = run.kind.features(run.data.splits[split], run.model.tokenizer, run.data.labels, run.max_length)
    lengths = [len(ids) for ids in features["input_ids"]]
    order: Sequence[int] = range(len(lengths))
    if split != "train":
        order = sorted(order, key=lambda row: -lengths[row])
    columns = {name: [column[row] for row in order] for name, column in features.items()}
    return Split(Dataset.from_dict(columns), [lengths[row] for row in order], order)
