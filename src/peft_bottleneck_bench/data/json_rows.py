"""Rows of JSON in its common forms."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..tasks import Format
from .file_rows import FileRows, Row
from .nested_json import flattened
from .opened import read_text


def read_json_lines(path: Path, form: Format) -> FileRows:
    """One object a line. A file that is one array is read as an array, whatever its suffix."""
    text = read_text(path)
    if text.lstrip().startswith("["):
        return _document(path, text)
    return FileRows(str(path), *_lines(path, text))


def read_json(path: Path, form: Format) -> FileRows:
    """An array of objects; `{"data": [...]}`; columns `{"text": [...], "label": [...]}`; SQuAD's and FewRel's
    documents; or JSON Lines.
    """
    text = read_text(path)
    try:
        return _document(path, text)
    except _ExtraData:
        return FileRows(str(path), *_lines(path, text))


def parse(text: str, place: str, *, first_line: int = 1) -> Any:
    """A JSON document.

    Raises:
        UserError: it is none, repeats a key, nests too deeply, or has a number that no computer holds.
    """
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        where = f"{place}, line {first_line + error.lineno - 1}" if first_line else place
        message = f"{where}: not valid JSON: {error.msg} at column {error.colno}"
        raise (_ExtraData if error.msg == "Extra data" else UserError)(message) from error
    except RecursionError as error:
        raise UserError(f"{place}: JSON that nests too deeply") from error
    except ValueError as error:  # a repeated key, or an integer of thousands of digits
        where = f"{place}, line {first_line}" if first_line else place
        raise UserError(f"{where}: {error}") from error


class _ExtraData(UserError):
    """The text continues after the first document."""


def _object(pairs: list[tuple[str, object]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"an object has {next(name for name in names if names.count(name) > 1)!r} twice")
    return row


def _lines(path: Path, text: str) -> tuple[list[Row], list[int]]:
    rows, numbers = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            rows.append(checked_row(parse(line, str(path), first_line=number), f"{path}, line {number}"))
            numbers.append(number)
    return rows, numbers


def _document(path: Path, text: str) -> FileRows:
    document = parse(text, str(path))
    rows = [
        checked_row(value, f"{path}, row {number}") for number, value in enumerate(_values(document, path), start=1)
    ]
    return FileRows(str(path), rows, range(1, len(rows) + 1), "row")


def _values(document: object, path: Path) -> Iterator[object]:
    if isinstance(document, list):
        yield from document
        return
    if not isinstance(document, dict):
        raise UserError(f"{path}: expected an array of JSON objects, found {json_type(document)}")
    try:
        if (examples := flattened(document)) is not None:
            yield from examples
            return
    except (ValueError, KeyError, TypeError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else error
        raise UserError(
            f"{path}: looks like SQuAD's or FewRel's form, but an example cannot be read: {what}"
        ) from error
    tables = [value for value in document.values() if isinstance(value, list) and value and _all(dict, value)]
    if len(tables) == 1:
        yield from tables[0]
        return
    columns = [_column(value) for value in document.values()]
    if document and all(column is not None for column in columns):
        lengths = {len(column) for column in columns if column is not None}
        if len(lengths) == 1:
            for values in zip(*(column for column in columns if column is not None), strict=True):
                yield dict(zip(document, values, strict=True))
            return
    yield document


def _column(value: object) -> list[object] | None:
    """A column as a list, or as pandas writes it: row numbers to values."""
    if isinstance(value, dict) and value and all(str(key).isdecimal() for key in value):
        return list(value.values())
    return value if isinstance(value, list) else None


def _all(type_: type, values: list[object]) -> bool:
    return all(isinstance(value, type_) for value in values)


def checked_row(value: Any, place: str) -> Row:
    """The value as a row: an object, or spaCy's pair of a text and an object.

    Raises:
        UserError: it is neither, or holds half of a surrogate pair, which no tokenizer takes.
    """
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], dict):
        value = {"text": value[0], **value[1]}
    if not isinstance(value, dict):
        raise UserError(f"{place}: expected a JSON object, found {json_type(value)}")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise UserError(f"{place}: {half!r} is half of a surrogate pair, and no text") from error
    return value


def json_type(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null", dict: "an object"}
    return names.get(type(value), "a number")
