"""Rows from files, each of which can be named by file and line when something is wrong with it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .errors import UserError

Row = dict[str, Any]


@dataclass(frozen=True)
class FileRows:
    """The rows of one file, with the number of the line (or, where a format has no lines, of the row) of each."""

    path: Path
    rows: Sequence[Row]
    numbers: Sequence[int]
    unit: str

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]

    def place(self, index: int) -> str:
        """Where row `index` stands, for an error message."""
        return f"{self.path}, {self.unit} {self.numbers[index]}"


def read_rows(path: Path) -> FileRows:
    """Reads a JSON Lines, JSON, CSV, TSV or Parquet file, told apart by the suffix.

    Raises:
        UserError: the file is missing, has another suffix, or a line of it cannot be read.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: unknown format '{path.suffix}': choose from {', '.join(READERS)}")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        rows = reader(path)
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line}: not UTF-8 text") from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    if not rows.rows:
        raise UserError(f"{path}: the file has no rows")
    return rows


def _read_json_lines(path: Path) -> FileRows:
    rows, lines = [], []
    # Not splitlines(): it would also cut at U+2028, U+0085 and others, which JSON strings may hold.
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if line.strip():
            rows.append(_object(path, number, _json(path, line, first_line=number)))
            lines.append(number)
    return FileRows(path, rows, lines, "line")


def _read_json(path: Path) -> FileRows:
    """One array of objects; anything else is read as JSON Lines."""
    text = path.read_text(encoding="utf-8-sig")
    if not text.lstrip().startswith("["):
        return _read_json_lines(path)
    array = _json(path, text, first_line=1)
    rows = [_object(path, number, row, unit="row") for number, row in enumerate(array, start=1)]
    return FileRows(path, rows, range(1, len(rows) + 1), "row")


def _json(path: Path, text: str, *, first_line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise UserError(f"{path}, line {line}: not valid JSON: {error.msg} at column {error.colno}") from error


def _object(path: Path, number: int, value: Any, *, unit: str = "line") -> Row:
    if not isinstance(value, dict):
        raise UserError(f"{path}, {unit} {number}: expected a JSON object, found {_json_type(value)}")
    return value


def _json_type(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _separated(delimiter: str, quoting: Literal[0, 3]) -> Callable[[Path], FileRows]:
    def read(path: Path) -> FileRows:
        rows, lines = [], []
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, quoting=quoting, strict=True)
            header: list[str] | None = None
            start = 1
            try:
                for fields in reader:
                    if not fields:
                        pass  # a blank line
                    elif header is None:
                        header = fields
                    elif len(fields) != len(header):
                        raise UserError(
                            f"{path}, line {start}: {len(fields)} fields where the header has {len(header)}"
                        )
                    else:
                        rows.append(dict(zip(header, fields, strict=True)))
                        lines.append(start)
                    start = reader.line_num + 1
            except csv.Error as error:
                raise UserError(f"{path}, line {reader.line_num}: {error}") from error
        return FileRows(path, rows, lines, "line")

    return read


def _read_parquet(path: Path) -> FileRows:
    from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]  # pyarrow has no types

    try:
        rows = parquet.read_table(path).to_pylist()
    except ArrowException as error:
        raise UserError(f"{path}: not a Parquet file: {str(error).splitlines()[0]}") from error
    return FileRows(path, rows, range(1, len(rows) + 1), "row")


READERS: dict[str, Callable[[Path], FileRows]] = {
    ".jsonl": _read_json_lines,
    ".json": _read_json,
    ".csv": _separated(",", csv.QUOTE_MINIMAL),
    ".tsv": _separated("\t", csv.QUOTE_NONE),
    ".parquet": _read_parquet,
}
