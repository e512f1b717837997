"""Rows of local files. An error can name the file and the line of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

Row = dict[str, Any]


@dataclass(frozen=True)
class FileRows:
    """The rows of one file.

    Args:
        name: the file's path, or the paths of line-aligned files.
        rows: column names to values.
        numbers: of the line of each row or, where a format has no lines, of the row.
        label_names: the names that the file declares for the numbers of a column, in their order.
    """

    name: str
    rows: Sequence[Row]
    numbers: Sequence[int]
    unit: str = "line"
    label_names: Mapping[str, Sequence[str]] = field(default_factory=dict)

    lazy: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]

    def place(self, index: int) -> str:
        """Where row `index` is, for an error message."""
        return f"{self.name}, {self.unit} {self.numbers[index]}"

    def label_values(self, column: str) -> Sequence[Any]:
        """The label names that the file declares for `column`; most files declare none."""
        return self.label_names.get(column, ())
