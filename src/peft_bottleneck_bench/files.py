"""Files, written whole or not at all. Errors name the folder and the cause."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

from .errors import UserError

CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than the system allows",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOTDIR: "a part of the path is a file",
    errno.EEXIST: "a file has that name",
    errno.EISDIR: "a folder has that name",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EIO: "the device failed",
}
OF_THE_PATH = (
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
)
# The messages of libraries that raise no OSError for a failed write: safetensors, torch.save.
WORDINGS = {
    "No space left on device": "the disk is full",
    "os error 28": "the disk is full",
    "PytorchStreamWriter failed": "the disk is full, or the device failed",
    "inline_container.cc": "the disk is full, or the device failed",
}
PROBE_BYTES = 64 * 1024
#: Files and folders that are looked through below one folder. The largest grid writes a tenth of them.
MOST_ENTRIES = 200_000


class StorageError(UserError):
    """Something cannot be written; the message names the folder and the cause."""


def storage_cause(error: BaseException) -> str | None:
    """Why a file could not be written, if `error` or one of its causes is about that."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in CAUSES:
            return CAUSES[cause.errno]
        for wording, meaning in WORDINGS.items():
            if wording in str(cause):
                return meaning
        cause = cause.__cause__ or cause.__context__
    return None


def files_below(folder: Path, ending: str) -> list[Path]:
    """The files, and folders, at any depth below a folder whose names have this ending, sorted.

    Links to folders are not followed.

    Raises:
        UserError: there are more than `MOST_ENTRIES` files and folders below it.
    """
    found: list[Path] = []
    seen = 0
    for place, folders, files in os.walk(folder):
        seen += len(folders) + len(files)
        if seen > MOST_ENTRIES:
            raise too_many(folder)
        found += [Path(place, name) for name in (*folders, *files) if name.endswith(ending)]
    return sorted(found)


def too_many(place: object) -> UserError:
    """The error of a place with more than `MOST_ENTRIES` files and folders."""
    return UserError(
        f"{place}: more than {MOST_ENTRIES:,} files and folders below it: give the folder itself, not one far above"
    )


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns an error of the block that is about a file into one line.

    Raises:
        StorageError: names `folder`, or the place that the system names, and the cause.
    """
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        cause = storage_cause(error)
        if cause is None:
            raise
        place = folder
        if isinstance(error, OSError) and error.filename:
            place = Path(error.filename2 or error.filename)
            place = place if error.errno in OF_THE_PATH else place.parent
        raise StorageError(f"{place}: cannot be written: {cause}") from error


def check_writable(folder: Path) -> None:
    """Makes `folder`, and writes and removes a small file there: a full disk accepts empty files.

    Raises:
        StorageError: this fails.
    """
    with writing(folder), _temporary(folder / "probe") as (file, _):
        file.write(b"\0" * PROBE_BYTES)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file beside `path` that takes its place, wholly on disk, when the block ends without an error.

    Raises:
        StorageError: it cannot be written.
    """
    with writing(path.parent), _temporary(path) as (file, temporary):
        yield file
        file.flush()
        os.fsync(file.fileno())
        os.replace(temporary, path)


@contextmanager
def _temporary(path: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """A new file beside `path`, which is removed at the end unless it got another name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file, temporary
            file.flush()
    finally:
        temporary.unlink(missing_ok=True)
