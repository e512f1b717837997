"""What the test examples say, for boards whose data a user has at hand and may show."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from ..records import Record

#: A stretch of an input, and what it is: an entity's label, `head` or `tail`; empty for the text between.
Part = tuple[str, str]
Parts = list[Part]


@dataclass(frozen=True)
class Inputs:
    """The inputs of test examples, by task and identity of the data."""

    known: Mapping[tuple[str, Hashable], Sequence[Parts]] = field(default_factory=dict)

    def of(self, record: Record) -> Sequence[Parts] | None:
        """The inputs of the record's test examples, in their order; None where its data are not at hand."""
        return self.known.get((record.task, record.data.identity))


def with_inputs(rows: Sequence[Mapping[str, object]], inputs: Sequence[Parts] | None) -> list[dict[str, object]]:
    """The rows of a table of examples, with a column `input` where the inputs are known."""
    if inputs is None:
        return [dict(row) for row in rows]
    return [{"example": row["example"], "input": inputs[_place(row)], **row} for row in rows]


def _place(row: Mapping[str, object]) -> int:
    place = row["example"]
    assert isinstance(place, int)
    return place
