"""How long the inputs of a task are in the tokens of a model, said before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable

from ..data.loading import SPLITS
from ..run import Run

MOST_EXAMPLES = 2_000  # of a split that are looked at


def length_notes(runs: Iterable[Run]) -> list[str]:
    """The longest input of each task on each model, and how many inputs and targets are cut."""
    first_of_each = {(run.task.name, run.model.name): run for run in runs if run.kind.reads_text}
    return [note for run in first_of_each.values() for note in _notes(run)]


def _notes(run: Run) -> Iterable[str]:
    longest, cut, cut_targets, looked_at = 0, 0, 0, 0
    for split in SPLITS:
        examples = run.data.splits[split][:MOST_EXAMPLES]
        encoded = run.kind.encode(examples, run.context, training=split == "train")
        longest = max(longest, *encoded.lengths)
        cut, cut_targets, looked_at = cut + encoded.cut, cut_targets + encoded.cut_targets, looked_at + len(examples)
    start = f"{run.task.name} · {run.model.slug}"
    yield f"{start}: the longest of {looked_at:,} examples has {longest:,} tokens"
    if cut:
        yield f"{start}: {cut:,} of them are longer than max_length, {run.context.max_length:,} tokens, and are cut"
    if cut_targets:
        limit = run.context.generation["max_new_tokens"]
        yield f"{start}: {cut_targets:,} targets are longer than generation_max_length, {limit:,} tokens, and are cut"
