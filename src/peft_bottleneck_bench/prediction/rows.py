"""New examples from arguments, files and standard input, each with its place for error messages."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ..data.columns import find, is_missing
from ..data.file_rows import Row
from ..data.files import READERS, read_rows
from ..data.json_rows import checked_row, parse
from ..data.opened import suffix_of
from ..errors import UserError
from ..kinds import Context
from ..saved.saved import Saved
from ..words import joined_words, quoted, words_of
from .plain_lines import row_of, with_entities

Placed = tuple[str, Row | str]  # its place; columns, or a line of plain text


def from_file(file: str) -> Iterator[Placed]:
    """The rows of a data file, as its suffix says; of any other file, or of `-` for standard input, the lines.

    A line that begins with a brace is a JSON object with the task's columns, any other is plain text. In a file of
    plain text an empty line is an empty text, so that there is an answer for each line; between JSON objects it is
    passed over. An array of JSON objects is read as its rows.

    Raises:
        UserError: the file cannot be read, or a line of it; those before it are yielded first.
    """
    if file == "-":
        yield from _lines("standard input", sys.stdin.buffer)
        return
    path = Path(file)
    if suffix_of(path) in READERS and not _is_stream(path):
        rows = read_rows(path)
        yield from ((rows.place(index), rows[index]) for index in range(len(rows)))
        return
    if path.is_dir():
        raise UserError(f"{path}: a folder, not a file")
    if not path.exists():  # a pipe that has a name is no regular file
        raise UserError(f"{path}: no such file")
    with path.open("rb") as stream:
        yield from _lines(str(path), stream)


def _is_stream(path: Path) -> bool:
    """Whether the file is JSON Lines, which are read as they come."""
    if path.suffix.lower() != ".jsonl" or not path.is_file():
        return False
    with path.open("rb") as file:
        return not _starts_array(file.read(4096))


def _starts_array(start: bytes) -> bool:
    return re.match(rb"(\xef\xbb\xbf)?\s*\[\s*[{\]]", start) is not None


def _lines(name: str, stream: BinaryIO) -> Iterator[Placed]:
    empty: list[str] = []  # the places of empty lines before the first line that shows the form
    has_objects: bool | None = None
    for number, raw in enumerate(stream, start=1):
        place = f"{name}, line {number}"
        line = _decoded(raw, number, place).rstrip("\r\n")
        is_object = line.lstrip().startswith("{")
        if has_objects is None and line.strip():
            has_objects = is_object
            if line.strip() == "[" or _starts_array(line.encode()):
                yield from _array(name, line + _decoded(stream.read(), 2, name))
                return
            yield from ((earlier, "") for earlier in ([] if is_object else empty))
        if not line.strip():
            if has_objects is None:
                empty.append(place)
            elif not has_objects:
                yield place, ""
        else:
            yield place, parse(line, name, first_line=number) if is_object else line


def _array(name: str, text: str) -> Iterator[Placed]:
    rows = parse(text, name)
    return (
        (place, checked_row(row, place)) for number, row in enumerate(rows, 1) for place in [f"{name}, row {number}"]
    )


def _decoded(raw: bytes, number: int, place: str) -> str:
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{place}: not UTF-8 text") from error


def examples(placed: Iterable[Placed], saved: Saved, context: Context) -> Iterator[Row]:
    """Complete examples of the kind that was trained, ready for a `Predictor` with this `context`.

    Those of named entities have `text` and `words` beside their tokens: the places of these in the text.

    Raises:
        UserError: a row does not fit; says where and why.
    """
    for place, content in placed:
        if isinstance(content, str) and _is_row(content, saved.content.inputs):
            content = checked_row(parse(content, place, first_line=0), place)
        try:
            yield _example(content, saved, context)
        except ValueError as error:
            raise UserError(f"{place}: {error}") from error


def _is_row(line: str, inputs: Sequence[str]) -> bool:
    """Whether a line is a JSON object: a task of several columns reads no plain text but two texts with a tab."""
    return len(inputs) > 1 and line.lstrip().startswith("{") and "\t" not in line


def _example(content: Row | str, saved: Saved, context: Context) -> Row:
    kind, inputs = saved.kind, saved.content.inputs
    if isinstance(content, str):
        content = row_of(content, inputs)
    words: Sequence[tuple[int, int]] = ()
    if kind.name == "relation_extraction" and "text" in content and not {"head", "tail"} & content.keys():
        content = with_entities(content)
    if kind.name == "ner" and isinstance(content.get("text"), str) and "tokens" not in content:
        words = words_of(content["text"])
        content = {**content, "tokens": [content["text"][start:end] for start, end in words]}
    row = {column: _value(content, column, saved) for column in inputs}
    example = kind.example({**row, kind.columns[-1]: kind.stand_in(row, context)})
    if kind.name != "ner":
        return example
    text, places = (content["text"], words) if words else joined_words(example["tokens"])
    return {**example, "text": text, "words": places}


def _value(row: Row, column: str, saved: Saved) -> Any:
    """A column under the name that the task's data have for it, or else under the kind's own."""
    name = saved.content.columns.get(column, column)
    value = find(row, name)
    value = row.get(column) if is_missing(value) or value is None else value
    if value is None:
        raise ValueError(f"no column '{name}' ({saved.kind.name} needs it), the row has {quoted(row)}")
    return value
