"""The predictions of a run, one per example: compressed JSON lines beside the record."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, JsonValue, TypeAdapter, ValidationError

from ..files import replacing
from .problems import in_one_line
from .schema import Number

#: Bytes of a file after decompression: over 100 times the largest task here. A file of a few MB can hold more.
LARGEST_FILE = 2**28


class Prediction(BaseModel, frozen=True, strict=True, extra="allow", allow_inf_nan=False):
    """One example of a split, by its place there.

    Args:
        statistics: what the example contributes to the main score. Where they are given, `reference` and `prediction`
            are only compared: they may be hashes of texts that cannot be published.
    """

    split: str
    index: int
    reference: JsonValue
    prediction: JsonValue
    statistics: Annotated[tuple[Number, ...], Field(strict=False)] | None = None


_PREDICTIONS = TypeAdapter(Prediction)


def predictions_path(record_path: Path) -> Path:
    """Where the predictions of the record at `record_path` are."""
    return record_path.parent / f"{record_path.stem}.predictions.jsonl.gz"


def write_predictions(rows: Iterable[Prediction], path: Path) -> None:
    """Writes one JSON line per example, compressed, in one step; equal rows give equal bytes."""
    # No file name and no time in the header: equal rows give equal bytes.
    with replacing(path) as file, gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as compressed:
        for row in rows:
            line = json.dumps(row.model_dump(exclude_unset=True), ensure_ascii=False, allow_nan=False)
            compressed.write(f"{line}\n".encode())


def read_predictions(path: Path) -> list[Prediction]:
    """The rows of a predictions file.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the file cannot be read to its end, or a row lacks a field; names the file and the row.
    """
    if path.exists() and not path.is_file():  # to open a pipe would wait for ever
        raise ValueError(f"{path}: not a file")
    if path.is_symlink() and not path.resolve().is_relative_to(path.parent.resolve()):  # rows of others on a page
        raise ValueError(f"{path}: a link that leads out of its folder")
    try:
        with gzip.open(path, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: not a predictions file: {error}") from error
    if len(content) > LARGEST_FILE:
        raise ValueError(f"{path}: holds more than {LARGEST_FILE >> 20} MiB")
    rows = []
    for number, line in enumerate(content.splitlines()):
        try:
            rows.append(_PREDICTIONS.validate_json(line))
        except ValidationError as error:
            raise ValueError(f"{path}: row {number}: {in_one_line(error)}") from error
    return rows
