"""Hidden states of examples on disk: rows `[tokens, d]` by key, read through a memory map.

A folder `<store>/<fingerprint>` has three files: `prefix.json` says what the rows are, `rows.bin` holds them one after
the other, and each 32 bytes of `index.bin` point to one: key, place, tokens, checksum. A row is written first and its
entry after it, so that a process that is killed leaves no entry without a row. What it leaves in `rows.bin` after the
last entry is overwritten. Rows that an earlier process wrote are compared with their checksum once. Several processes
may use one folder: writers take turns by a lock on the index.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

DESCRIPTION_FILE, ROWS_FILE, INDEX_FILE = "prefix.json", "rows.bin", "index.bin"
_ENTRY = struct.Struct("<16sQII")  # key, place, tokens, CRC-32 of the row
_MAPPED = 2**28  # bytes read before the map is made anew: mapped pages count as memory of the process


def stored_bytes(tokens: int, rows: int, width: int, dtype: torch.dtype) -> int:
    """The size of a store with so many rows, and tokens in all of them together."""
    return tokens * width * dtype.itemsize + rows * _ENTRY.size


class Store:
    """The rows of one fingerprint.

    Args:
        folder: of all fingerprints.
        fingerprint: of what computed the rows.
        description: of the same, for people.
        width: `d`.
        dtype: of the rows in the file.
        limit: bytes of the folder, other fingerprints included.

    Raises:
        OSError: the folder cannot be made or written to.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        description: Mapping[str, object],
        *,
        width: int,
        dtype: torch.dtype,
        limit: int,
    ) -> None:
        if fcntl is None:
            raise OSError("A store of hidden states needs the file locks of a POSIX system.")
        self.folder = folder / fingerprint
        self.width = width
        self.dtype = dtype
        self.limit = limit
        self.is_full = False
        self._entries: dict[bytes, tuple[int, int, int]] = {}
        self._unchecked: set[bytes] = set()
        self._read_entries = 0
        self._end = 0  # of the rows
        self._map: mmap.mmap | None = None
        self._mapped = 0
        self.folder.mkdir(parents=True, exist_ok=True)
        _write_once(self.folder / DESCRIPTION_FILE, json.dumps(description, indent=1, ensure_ascii=False))
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._rows = os.open(self.folder / ROWS_FILE, flags, 0o644)
        self._index = os.open(self.folder / INDEX_FILE, flags, 0o644)
        self._refresh()
        self._unchecked = set(self._entries)

    def __deepcopy__(self, memo: object) -> Store:
        return self

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes of rows and index, up to the last entry."""
        return self._end + self._read_entries * _ENTRY.size

    def _row_bytes(self, tokens: int) -> int:
        return tokens * self.width * self.dtype.itemsize

    def tokens(self, key: bytes) -> int | None:
        """The length of a row; None if it is not here."""
        if key in self._unchecked:
            self._unchecked.discard(key)
            *_, checksum = self._entries[key]
            if zlib.crc32(self._bytes(key)) != checksum:
                del self._entries[key]
        entry = self._entries.get(key)
        return None if entry is None else entry[1]

    def read(self, key: bytes, row: Tensor) -> None:
        """Copies a row that is here into `row`, contiguous, `[tokens, d]` in the store's type."""
        target = row.reshape(-1).view(torch.uint8).numpy()
        target[:] = np.frombuffer(self._bytes(key), dtype=np.uint8)

    def _bytes(self, key: bytes) -> memoryview:
        place, tokens, _ = self._entries[key]
        size = self._row_bytes(tokens)
        self._mapped += size
        if self._map is None or place + size > len(self._map) or self._mapped > _MAPPED:
            self._map, self._mapped = mmap.mmap(self._rows, 0, access=mmap.ACCESS_READ), 0
        return memoryview(self._map)[place : place + size]

    def write(self, rows: Sequence[tuple[bytes, Tensor]]) -> int:
        """Adds the rows that are new, as long as they are below the limit and the disk takes them; returns how many.

        Warns once when it stops.
        """
        if self.is_full:
            return 0
        written = 0
        with self._locked():
            self._refresh()
            others = folder_bytes(self.folder.parent)
            others -= os.fstat(self._rows).st_size + os.fstat(self._index).st_size
            for key, row in rows:
                if key in self._entries:
                    continue
                data = row.detach().to("cpu", self.dtype).contiguous().reshape(-1).view(torch.uint8).numpy().data
                if others + self._end + len(data) + (self._read_entries + 1) * _ENTRY.size > self.limit:
                    self._stop(f"its limit is {self.limit:,} bytes, and {others:,} of them belong to other models")
                    break
                try:
                    self._append(key, len(row), data)
                except OSError as error:
                    self._stop(str(error.strerror))
                    break
                written += 1
        return written

    def _append(self, key: bytes, tokens: int, data: memoryview) -> None:
        place, checksum = self._end, zlib.crc32(data)
        _write_all(self._rows, data, place)
        entry = _ENTRY.pack(key, place, tokens, checksum)
        _write_all(self._index, memoryview(entry), self._read_entries * _ENTRY.size)
        self._add(key, place, tokens, checksum)
        self._read_entries += 1

    def _add(self, key: bytes, place: int, tokens: int, checksum: int) -> None:
        self._entries[key] = place, tokens, checksum
        self._end = max(self._end, place + self._row_bytes(tokens))

    def _stop(self, reason: str) -> None:
        self.is_full = True
        warnings.warn(
            f"{self.folder.parent} takes no further rows ({reason}). The {len(self):,} rows that it has are reused; "
            "the others are computed every time.",
            stacklevel=2,
        )

    def _refresh(self) -> None:
        """Reads the entries that other processes have added. A torn entry at the end does not count."""
        count = os.fstat(self._index).st_size // _ENTRY.size
        size = os.fstat(self._rows).st_size
        if count > self._read_entries:
            start = self._read_entries * _ENTRY.size
            data = os.pread(self._index, (count - self._read_entries) * _ENTRY.size, start)
            for key, place, tokens, checksum in _ENTRY.iter_unpack(data):
                if place + self._row_bytes(tokens) <= size:
                    self._add(key, place, tokens, checksum)
            self._read_entries = count

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._index, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._index, fcntl.LOCK_UN)

    def close(self) -> None:
        self._map = None
        for file in (self._rows, self._index):
            if file >= 0:
                os.close(file)
        self._rows = self._index = -1


def folder_bytes(folder: Path) -> int:
    """Bytes of the rows and entries of all fingerprints in a folder."""
    files = (file for name in (ROWS_FILE, INDEX_FILE) for file in folder.glob(f"*/{name}"))
    return sum(file.stat().st_size for file in files)


def _write_all(file: int, data: memoryview, place: int) -> None:
    while len(data):
        done = os.pwrite(file, data, place)
        data, place = data[done:], place + done


def _write_once(path: Path, text: str) -> None:
    """Writes a file whole or not at all; keeps one that exists."""
    if not path.exists():
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(text + "\n", encoding="utf-8")
        os.replace(temporary, path)
