"""Rows of separated values: CSV, TSV, and files with other delimiters."""

from __future__ import annotations

import csv
import io
import json
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
        separator = form.delimiter or delimiter
        mark = quote if form.quote is None else form.quote
        if mark == separator:
            raise UserError(f"{path}: `delimiter` and `quote` are both {mark!r}")
        records = _records(path, separator, mark)
        names: Sequence[str] = ()
        if isinstance(form.header, tuple):
            names = form.header
        elif records and form.header:
            names = _checked_header(path, *records.pop(0), separator)
        elif records:
            names = [str(number) for number in range(len(records[0][1]))]
        rows: list[Row] = []
        for line, fields in records:
            if len(fields) != len(names):
                raise UserError(f"{path}, line {line}: {len(fields)} fields where the header has {len(names)}")
            rows.append(dict(zip(names, fields, strict=True)))
        return FileRows(str(path), rows, [line for line, _ in records])

    return read


def _records(path: Path, delimiter: str, quote: str) -> list[tuple[int, list[str]]]:
    """The fields of each record, with the line on which it starts; blank lines are left out."""
    reader = csv.reader(
        io.StringIO(read_text(path), newline=""),
        delimiter=delimiter,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
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
            raise UserError(f"{path}, line {start}: a quotation mark opens here and none closes") from error
        until = f" (the record starts on line {start})" if reader.line_num != start else ""
        raise UserError(f"{path}, line {reader.line_num}: {error}{until}") from error
    return found


def _checked_header(path: Path, line: int, fields: Sequence[str], delimiter: str) -> Sequence[str]:
    names = [name.strip() for name in fields]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise UserError(f"{path}, line {line}: the header has '{twice[0]}' {names.count(twice[0])} times")
    others = [other for other in OTHER_DELIMITERS if other != delimiter and other in names[0]]
    if len(names) == 1 and others:
        raise UserError(
            f"{path}, line {line}: one column, '{names[0]}': if {others[0]!r} separates columns, "
            f"write `delimiter: {json.dumps(others[0])}` inside `data`"
        )
    return names
