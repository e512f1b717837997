"""New examples from arguments, files and standard input, each with the place where it stands, for error messages."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ..data.files import READERS, read_rows
from ..data.loading import quoted
from ..errors import UserError
from ..kinds import Setting
from ..saved.saved import Saved
from .plain_lines import joined_words, row_of, with_entities, words_of

Row = dict[str, Any]
Placed = tuple[str, Row | str]  # where it stands; columns, or a line of plain text


def from_arguments(texts: Sequence[str]) -> Iterator[Placed]:
    """One text each."""
    return ((f"text {number}", text) for number, text in enumerate(texts, start=1))


def from_file(file: str) -> Iterator[Placed]:
    """The rows of a data file, told by its suffix; of any other file, or of `-` for standard input, the lines.

    A line that begins with a brace is a JSON object with the task's columns, any other is plain text; blank lines are
    passed over.

    Raises:
        UserError: the file cannot be read, or a line of it; those before it are yielded first.
    """
    if file == "-":
        yield from _lines("standard input", sys.stdin.buffer)
        return
    path = Path(file)
    if path.suffix.lower() in READERS.keys() - {".jsonl"}:  # JSON Lines are read as they come
        rows = read_rows(path)
        yield from ((rows.place(index), rows[index]) for index in range(len(rows)))
        return
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    with path.open("rb") as stream:
        yield from _lines(str(path), stream)


def _lines(name: str, stream: BinaryIO) -> Iterator[Placed]:
    for number, raw in enumerate(stream, start=1):
        place = f"{name}, line {number}"
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UserError(f"{place}: not UTF-8 text") from error
        if not line.strip():
            continue
        if not line.lstrip().startswith("{"):
            yield place, line
            continue
        try:
            yield place, json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{place}: not valid JSON: {error.msg} at column {error.colno}") from error


def examples(placed: Iterable[Placed], saved: Saved, setting: Setting) -> Iterator[Row]:
    """Complete examples of the kind that was trained, ready for a `Predictor` with this `setting`.

    Those of named entities have `text` and `words` beside their tokens: where these stand in the text.

    Raises:
        UserError: a row does not fit; says where and why.
    """
    for place, content in placed:
        try:
            yield _example(content, saved, setting)
        except ValueError as error:
            raise UserError(f"{place}: {error}") from error


def _example(content: Row | str, saved: Saved, setting: Setting) -> Row:
    kind, inputs = saved.kind, saved.content["inputs"]
    if isinstance(content, str):
        if not content.strip():
            raise ValueError("there is no text")
        content = row_of(content, inputs)
    words: Sequence[tuple[int, int]] = ()
    if kind.name == "relation_extraction" and "text" in content and not {"head", "tail"} & content.keys():
        content = with_entities(content)
    if kind.name == "ner" and isinstance(content.get("text"), str) and "tokens" not in content:
        words = words_of(content["text"])
        content = {**content, "tokens": [content["text"][start:end] for start, end in words]}
    row = {column: _value(content, column, saved) for column in inputs}
    example = kind.example({**row, kind.columns[-1]: kind.stand_in(row, setting)})
    if kind.name != "ner":
        return example
    text, places = (content["text"], words) if words else joined_words(example["tokens"])
    return {**example, "text": text, "words": places}


def _value(row: Row, column: str, saved: Saved) -> Any:
    """A column under the name that the task's data have for it, or else under the kind's own."""
    name = saved.content["columns"].get(column, column)
    value: Any = row
    for part in [name] if name in row else name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    value = row.get(column) if value is None else value
    if value is None:
        raise ValueError(f"no column '{name}' ({saved.kind.name} needs it), the row has {quoted(row)}")
    return value
