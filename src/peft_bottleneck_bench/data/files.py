"""Files of all formats, read into rows."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from ..errors import UserError
from .file_rows import FileRows, Row, lines_of
from .text_formats import read_conll, read_line_pairs, read_semeval


def read_rows(path: Path, format: str = "") -> FileRows:
    """The rows of one file in one of `FORMATS`, which its suffix tells if `format` is not given.

    Raises:
        UserError: the file is missing, its format is unknown, or a line of it cannot be read.
    """
    reader = READERS.get(f".{format}" if format else path.suffix.lower())
    if reader is None:
        raise UserError(
            f"{path}: unknown format '{path.suffix}': choose from {', '.join(READERS)}, or say it with `format:`"
        )
    return _read(reader, path)


def read_pairs(first: Path, second: Path, columns: tuple[str, str]) -> FileRows:
    """Rows of `columns` from two line-aligned files.

    Raises:
        UserError: a file is missing or is not text, or they have not as many lines.
    """
    return _read(lambda one, other: read_line_pairs(one, other, columns), first, second)


def _read(reader: Callable[..., FileRows], *paths: Path) -> FileRows:
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: no such file")
    try:
        rows = reader(*paths)
    except UnicodeDecodeError as error:
        raise UserError(f"{_first_bad_line(paths)}: not UTF-8 text") from error
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror or error}") from error
    if not rows.rows:
        raise UserError(f"{rows.name}: the file has no rows")
    return rows


def _first_bad_line(paths: Sequence[Path]) -> str:
    """Where the first line stands that is not UTF-8."""
    for path in paths:
        for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return f"{path}, line {number}"
    return str(paths[0])


def _read_json_lines(path: Path) -> FileRows:
    rows, lines = [], []
    for number, line in lines_of(path):
        if line.strip():
            rows.append(_object(path, number, _json(path, line, first_line=number)))
            lines.append(number)
    return FileRows(str(path), rows, lines)


def _read_json(path: Path) -> FileRows:
    """One array of objects; anything else is read as JSON Lines."""
    text = path.read_text(encoding="utf-8-sig")
    if not text.lstrip().startswith("["):
        return _read_json_lines(path)
    array = _json(path, text, first_line=1)
    rows = [_object(path, number, row, unit="row") for number, row in enumerate(array, start=1)]
    return FileRows(str(path), rows, range(1, len(rows) + 1), "row")


def _json(path: Path, text: str, *, first_line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise UserError(f"{path}, line {line}: not valid JSON: {error.msg} at column {error.colno}") from error


def _object(path: Path, number: int, value: Any, *, unit: str = "line") -> Row:
    if not isinstance(value, dict):
        raise UserError(f"{path}, {unit} {number}: expected a JSON object, found {_json_type(value)}")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:  # JSON can write what no tokenizer takes
        half = error.object[error.start]
        raise UserError(f"{path}, {unit} {number}: {half!r} is half of a surrogate pair, and no text") from error
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
        return FileRows(str(path), rows, lines)

    return read


def _read_parquet(path: Path) -> FileRows:
    from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]  # pyarrow has no types

    try:
        rows = parquet.read_table(path).to_pylist()
    except ArrowException as error:
        raise UserError(f"{path}: not a Parquet file: {str(error).splitlines()[0]}") from error
    return FileRows(str(path), rows, range(1, len(rows) + 1), "row")


READERS: dict[str, Callable[[Path], FileRows]] = {
    ".jsonl": _read_json_lines,
    ".json": _read_json,
    ".csv": _separated(",", csv.QUOTE_MINIMAL),
    ".tsv": _separated("\t", csv.QUOTE_NONE),
    ".parquet": _read_parquet,
    ".conll": read_conll,
    ".semeval": read_semeval,
}
FORMATS = tuple(suffix.removeprefix(".") for suffix in READERS)
