"""The content of files, also of compressed ones, within bounds that no real data file reaches."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ..errors import UserError

COMPRESSIONS = (".gz", ".zst")
MOST_BYTES = 8 * 2**30  # of one file, decompressed: the rows of a split are held in memory
MOST_RATIO = 100  # of decompressed to compressed bytes; text reaches 3 to 20
FREE_BYTES = 64 * 2**20  # below which no ratio is asked for
_CHUNK = 2**20
_GIT_LFS = b"version https://git-lfs.github.com/spec/"  # in the place of the file, where Git LFS is not installed


def suffix_of(path: Path) -> str:
    """The suffix that says the format: `.jsonl` of `train.jsonl.gz`."""
    plain = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    return plain.suffix.lower()


def read_bytes(path: Path) -> bytes:
    """The content of the file, decompressed where it ends in `.gz` or `.zst`.

    Raises:
        UserError: the file is damaged, or larger than the bounds above.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    compressed = path.suffix.lower() in COMPRESSIONS
    most = min(MOST_BYTES, max(FREE_BYTES, MOST_RATIO * size)) if compressed else MOST_BYTES
    parts = []
    read = 0
    for part in _parts(path):
        read += len(part)
        if read > most:
            unpacked = f", unpacked from {size:,}" if compressed else ""
            raise UserError(f"{path}: more than {most:,} bytes{unpacked}: too large for a data file")
        parts.append(part)
    return b"".join(parts)


def read_text(path: Path) -> str:
    """The content as text, without a byte-order mark.

    Raises:
        UserError: see `read_bytes`; or the content is not UTF-8, with the line, or a pointer of Git LFS.
    """
    content = read_bytes(path)
    if content.startswith(_GIT_LFS):
        raise UserError(f"{path}: a pointer of Git LFS, not the file: `git lfs pull` fetches it")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(f"{path}: UTF-16 text; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: not UTF-8 text; save it as UTF-8") from error


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file with their numbers, without their ends.

    Not splitlines(): it would also cut at U+2028, U+0085 and others, which texts may hold.
    """
    lines = read_text(path).split("\n")
    if not lines[-1]:
        lines.pop()  # a file ends with the end of its last line
    for number, line in enumerate(lines, start=1):
        yield number, line.removesuffix("\r")


def _parts(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as raw, _decompressed(path, raw) as stream:
            while part := stream.read(_CHUNK):
                yield part
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: damaged, or not compressed as its suffix says: {error}") from error


def _decompressed(path: Path, raw: IO[bytes]) -> IO[bytes]:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]  # it reads as any stream
    if suffix == ".zst":
        return _zstandard(path, raw)
    return raw


def _zstandard(path: Path, raw: IO[bytes]) -> IO[bytes]:
    try:
        import zstandard
    except ImportError as error:
        raise UserError(f"{path}: `pip install zstandard` to read .zst files") from error

    class Checked(io.RawIOBase):
        """A stream whose errors name the file."""

        def __init__(self) -> None:
            self.stream = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)

        def read(self, size: int = -1) -> bytes:
            try:
                return bytes(self.stream.read(size))
            except zstandard.ZstdError as error:
                raise UserError(f"{path}: damaged, or not compressed as its suffix says: {error}") from error

    return Checked()  # type: ignore[return-value]
