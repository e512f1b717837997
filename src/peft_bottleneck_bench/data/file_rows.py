"""Rows of local files, each of which can be named by file and line when something is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

Row = dict[str, Any]


@dataclass(frozen=True)
class FileRows:
    """The rows of one file, with the number of the line (or, where a format has no lines, of the row) of each.

    Args:
        name: the file's path, or the paths of line-aligned files.
    """

    name: str
    rows: Sequence[Row]
    numbers: Sequence[int]
    unit: str = "line"

    lazy: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]

    def place(self, index: int) -> str:
        """Where row `index` stands, for an error message."""
        return f"{self.name}, {self.unit} {self.numbers[index]}"

    def label_values(self, column: str) -> Sequence[Any]:
        """None: files declare no labels."""
        return ()


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file with their numbers, without their ends.

    Not splitlines(): it would also cut at U+2028, U+0085 and others, which texts may hold.
    """
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    if not lines[-1]:
        lines.pop()  # a file ends with the end of its last line
    for number, line in enumerate(lines, start=1):
        yield number, line.removesuffix("\r")
