"""Tokenised once per task and tokenizer, used by every run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from datasets import Dataset

from ..data.loading import SPLITS
from ..kinds import Encoded
from ..run import Run


@dataclass(frozen=True)
class Split:
    """The rows of a split as model inputs. For evaluation they are sorted by length, so that batches hold little
    padding; `order[i]` is the place of row `i` in `encoded`.
    """

    encoded: Encoded
    rows: Dataset
    lengths: Sequence[int]
    order: Sequence[int]

    def restore(self, values: Sequence[object]) -> list[object]:
        """`values`, one per row, in the order of `encoded`."""
        restored: list[object] = [None] * len(self.order)
        for place, value in zip(self.order, values, strict=True):
            restored[place] = value
        return restored


def make_features(run: Run) -> dict[str, Split]:
    """The three splits of the run's data as model inputs."""
    return {split: _split(run, split) for split in SPLITS}


def _split(run: Run, split: str) -> Split:
    training = split == "train"
    encoded = run.kind.encode(run.data.splits[split], run.context, training=training)
    lengths = encoded.lengths
    order = range(len(lengths)) if training else sorted(range(len(lengths)), key=lambda row: -lengths[row])
    columns = {name: [column[row] for row in order] for name, column in encoded.columns.items()}
    return Split(encoded, Dataset.from_dict(columns), [lengths[row] for row in order], order)
