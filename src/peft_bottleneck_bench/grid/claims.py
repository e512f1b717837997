"""Claims on runs: several processes, on one machine or many, can work on the same results, and none does a run twice.

Beside the record `NAME.json` of a run, its claim is a lock on the file `NAME.lock`. The system gives a lock back when
its process ends, however it ends. The file goes once the record is there: whoever still gets a lock on a file that is
gone looks for the record first, and finds it.
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
