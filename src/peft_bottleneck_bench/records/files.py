"""Record files: whole or absent, one line per field, and one line that says why a file is left out."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from ..files import files_below, replacing
from .costs import read as read_costs
from .problems import in_one_line
from .schema import COSTS_FILE, Record

#: Bytes. A record of a million logged losses is smaller.
LARGEST_FILE = 2**26


def write(record: Record, path: Path) -> None:
    """Writes `record` to `path` in one step: a reader sees the whole file or none, whenever the process dies."""
    fields = record.model_dump(mode="json")
    lines = (f"  {_dump(name)}: {_dump(value)}" for name, value in fields.items())
    with replacing(path) as file:
        file.write(("{\n" + ",\n".join(lines) + "\n}\n").encode())


def read(path: Path) -> Record:
    """The record in the file at `path`.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is no record; names the file, the field, its value and what is allowed there.
    """
    if path.exists() and not path.is_file():  # to open a pipe would wait for ever
        raise ValueError(f"{path}: not a file")
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise ValueError(f"{path}: larger than {LARGEST_FILE >> 20} MiB")
    try:
        return Record.model_validate_json(content)
    except ValidationError as error:
        if any(one["type"] == "missing" and one["loc"] == ("schema_version",) for one in error.errors()):
            raise ValueError(f"{path}: not a record: it has no schema_version") from error
        raise ValueError(f"{path}: {in_one_line(error)}") from error


def read_if_there(path: Path) -> Record | None:
    """The record at `path`; None if there is no whole one."""
    try:
        return read(path)
    except (OSError, ValueError):
        return None


def read_all(folder: Path) -> tuple[dict[Path, Record], list[str]]:
    """All records anywhere below `folder`, by path and in its order, and one warning per file that is no record.

    Raises:
        UserError: there are too many files below `folder`.
    """
    records, warnings = {}, []
    for path in files_below(folder, ".json"):
        try:
            if path.name == COSTS_FILE:
                read_costs(path.parent)
                continue
            records[path] = read(path)
        except ValueError as error:
            warnings.append(str(error))
        except OSError as error:
            warnings.append(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}")
    return records, warnings


def _dump(field: object) -> str:
    return json.dumps(field, ensure_ascii=False, allow_nan=False)
