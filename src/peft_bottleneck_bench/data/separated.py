"""Rows of separated values: CSV, TSV, and files with other delimiters."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import UserError
from ..tasks import Format
from .file_rows import FileRows, Row
from .opened import read_text

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # Python's own limit is 131,072 characters

OTHER_DELIMITERS = (";", "\t", "|", ",")


def separated(delimiter: str, quote: str) -> Callable[[Path, Format], FileRows]:
    """A reader of files with this delimiter and quotation mark, where their `Format` names no other."""

    def read(path: Path, form: Format) -> FileRows:
        return _Reader(path, form.delimiter or delimiter, quote if form.quote is None else form.quote, form).rows()

    return read


class _Reader:
    def __init__(self, path: Path, delimiter: str, quote: str, form: Format) -> None:
        self.path = path
        self.delimiter = delimiter
        self.quote = quote
        self.header = form.header

    def rows(self) -> FileRows:
        rows: list[Row] = []
        lines: list[int] = []
        names: Sequence[str] | None = self.header if isinstance(self.header, tuple) else None
        for line, fields in self.records():
            if names is None and self.header is False:
                names = [str(number) for number in range(len(fields))]
            if names is None:
                names = self.checked_header(line, fields)
            elif len(fields) != len(names):
                raise UserError(f"{self.path}, line {line}: {len(fields)} fields where the header has {len(names)}")
            else:
                rows.append(dict(zip(names, fields, strict=True)))
                lines.append(line)
        return FileRows(str(self.path), rows, lines)

    def records(self) -> list[tuple[int, list[str]]]:
        """The fields of each record, with the line on which it starts; blank lines are left out."""
        reader = csv.reader(
            io.StringIO(read_text(self.path), newline=""),
            delimiter=self.delimiter,
            quotechar=self.quote or None,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            strict=True,
        )
        found = []
        start = 1
        try:
            for fields in reader:
                if fields:
                    found.append((start, fields))
                start = reader.line_num + 1
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise UserError(f"{self.path}, line {start}: a quotation mark opens here and none closes") from error
            until = f" (the record starts on line {start})" if reader.line_num != start else ""
            raise UserError(f"{self.path}, line {reader.line_num}: {error}{until}") from error
        return found

    def checked_header(self, line: int, fields: Sequence[str]) -> Sequence[str]:
        names = [name.strip() for name in fields]
        if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
            raise UserError(f"{self.path}, line {line}: the header has '{twice[0]}' {names.count(twice[0])} times")
        others = [other for other in OTHER_DELIMITERS if other != self.delimiter and other in names[0]]
        if len(names) == 1 and others:
            raise UserError(
                f"{self.path}, line {line}: one column, '{names[0]}': "
                f"if {others[0]!r} separates columns, write `delimiter: {others[0]!r}` inside `data`"
            )
        return names
