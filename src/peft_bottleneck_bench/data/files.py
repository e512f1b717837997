"""Files of all formats, read into rows."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import UserError, first_line
from ..tasks import Format
from .file_rows import FileRows
from .json_rows import read_json, read_json_lines
from .opened import COMPRESSIONS, read_bytes, suffix_of
from .separated import separated
from .text_formats import read_conll, read_conllu, read_line_pairs, read_semeval

MOST_ROWS = 50_000_000  # of a Parquet file, whose size on disk says little about its rows

Reader = Callable[[Path, Format], FileRows]
LINES = "lines"


def read_rows(path: Path, form: Format = Format()) -> FileRows:  # noqa: B008  # frozen
    """The rows of one file, in the format that `form` says or else its suffix says; `.gz` and `.zst` come after it.

    Raises:
        UserError: the file is missing, its format is unknown, a setting has no effect on it, or a line of it cannot be
            read.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder: name the files in it, such as '{path.name}/*.jsonl'")
    suffix = f".{form.format}" if form.format else suffix_of(path)
    reader = READERS.get(suffix)
    if reader is None:
        raise UserError(
            f"{path}: unknown format '{suffix}': choose from {', '.join(READERS)}, "
            f"each also with {' or '.join(COMPRESSIONS)}, or name it by `format:`"
        )
    for setting in form.settings:
        if suffix not in (SEPARATED if setting != "header" else WITH_HEADER):
            raise UserError(f"{path}: `{setting}` has no effect on {suffix} files")
    return _read(lambda file: reader(file, form), path)


def read_pairs(first: Path, second: Path, columns: tuple[str, str]) -> FileRows:
    """Rows of `columns` from two line-aligned files.

    Raises:
        UserError: a file is missing or is not text, or their numbers of lines differ.
    """
    return _read(lambda one, other: read_line_pairs(one, other, columns), first, second)


def is_plain(path: Path) -> bool:
    """Whether the suffix names none of the formats, so that two such files are line-aligned."""
    return suffix_of(path) not in READERS


def _read(reader: Callable[..., FileRows], *paths: Path) -> FileRows:
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: no such file")
    try:
        rows = reader(*paths)
    except OSError as error:
        raise UserError(f"{error.filename or paths[0]}: {error.strerror or error}") from error
    if not rows.rows:
        raise UserError(f"{rows.name}: the file has no rows")
    return rows


def _read_parquet(path: Path, form: Format) -> FileRows:
    from pyarrow import ArrowException, parquet  # pyarrow has no types

    from .features import features_of, named

    try:
        with parquet.ParquetFile(io.BytesIO(read_bytes(path))) as file:
            if file.metadata.num_rows > MOST_ROWS:
                raise UserError(f"{path}: {file.metadata.num_rows:,} rows: too large for a data file")
            if twice := _twice(file.schema_arrow.names):
                raise UserError(f"{path}: two columns are called '{twice}'")
            table = file.read()
    except ArrowException as error:
        raise UserError(f"{path}: not a Parquet file: {first_line(error)}") from error
    features = features_of(table.schema)
    rows = [{name: named(features.get(name), value) for name, value in row.items()} for row in table.to_pylist()]
    label_names = {name: names for name, feature in features.items() if (names := getattr(feature, "names", None))}
    return FileRows(str(path), rows, range(1, len(rows) + 1), "row", label_names)


def _twice(names: Sequence[str]) -> str | None:
    return next((name for name in names if names.count(name) > 1), None)


READERS: dict[str, Reader] = {
    ".jsonl": read_json_lines,
    ".json": read_json,
    ".csv": separated(",", '"'),
    ".tsv": separated("\t", ""),
    ".parquet": _read_parquet,
    ".conll": read_conll,
    ".conllu": read_conllu,
    ".semeval": read_semeval,
}
SEPARATED = (".csv", ".tsv")
WITH_HEADER = (*SEPARATED, ".conll", ".conllu")
FORMATS = (*(suffix.removeprefix(".") for suffix in READERS), LINES)
