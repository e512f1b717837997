"""How long the inputs are in the model's tokens, and how many lose a part."""

from __future__ import annotations

from collections.abc import Sequence

from ..kinds import Encoded
from ..run import Run


def notes_on_lengths(run: Run, encoded: Sequence[Encoded], examples: int) -> list[str]:
    """One sentence each: the longest of so many examples, the inputs that are cut, the targets that are cut."""
    if not run.kind.reads_text:
        return []
    longest = max(length for part in encoded for length in part.lengths)
    return [f"the longest of {examples:,} examples has {longest:,} tokens", *notes_on_cuts(run, encoded, "them")]


def notes_on_cuts(run: Run, encoded: Sequence[Encoded], examples: str) -> list[str]:
    """The inputs that are cut, and the targets: one sentence each; `examples` says whose."""
    notes = []
    if cut := sum(part.cut for part in encoded):
        limit = run.context.max_length
        notes.append(f"{cut:,} of {examples} are longer than max_length, {limit:,} tokens, and are cut")
    if cut := sum(part.cut_targets for part in encoded):
        limit = run.context.generation["max_new_tokens"]
        notes.append(
            f"the targets of {cut:,} of {examples} are longer than generation_max_length, {limit:,} tokens, "
            "and are cut"
        )
    return notes
