"""Claims on runs: several processes, on one machine or many, work on the same results, and none does a run twice.

Beside the record `NAME.json` of a run, its claim is a lock on the file `NAME.lock`. The system releases a lock when
its process ends, in any way. The file is removed once the record exists: a process that still gets a lock on a
removed file looks for the record first, and finds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ..files import writing


@contextmanager
def claim(record: Path) -> Iterator[bool]:
    """Claims the run of the record at `record` for the length of the block; yields whether it is this process's now.

    Raises:
        StorageError: the lock cannot be written.
    """
    file = lock_file(record)
    lock = FileLock(file, timeout=0, is_singleton=False)
    try:
        with writing(record.parent):
            record.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        if record.exists():
            file.unlink(missing_ok=True)
        lock.release()


def lock_file(record: Path) -> Path:
    """The file whose lock claims the run of the record at `record`."""
    return record.with_suffix(".lock")
