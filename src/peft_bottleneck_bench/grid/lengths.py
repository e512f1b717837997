"""How long the inputs of a task are in the tokens of a model, said before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable

from ..data.loading import SPLITS
from ..run import Run
from ..training.lengths import notes_on_lengths

MOST_EXAMPLES = 2_000  # of a split that are looked at


def length_notes(runs: Iterable[Run]) -> list[str]:
    """The longest input of each task on each model, and the numbers of cut inputs and targets."""
    first_of_each = {(run.task.name, run.model.name): run for run in runs}
    return [f"{run.task.name} · {run.model.slug}: {note}" for run in first_of_each.values() for note in _notes(run)]


def _notes(run: Run) -> list[str]:
    parts = {split: run.data.splits[split][:MOST_EXAMPLES] for split in SPLITS}
    encoded = [run.kind.encode(part, run.context, training=split == "train") for split, part in parts.items()]
    return notes_on_lengths(run, encoded, sum(map(len, parts.values())))
