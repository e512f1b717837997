"""Addresses of fsspec, such as `s3://bucket/results`: what is there, read and written, with errors of one line."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from ..errors import UserError
from ..files import MOST_ENTRIES, StorageError, replacing, too_many

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

PROTOCOL = r"[A-Za-z][A-Za-z0-9+.-]*"
ADDRESS = re.compile(rf"({PROTOCOL}::)*{PROTOCOL}://")
LOCAL = re.compile(r"(file|local)://")


def is_address(text: str) -> bool:
    """Whether `text` is an address of fsspec, and no path."""
    return ADDRESS.match(text) is not None


def as_path(text: str) -> Path | None:
    """The path that `text` is, `file://` and `local://` included; None for any other address."""
    if local := LOCAL.match(text):
        text = text[local.end() :]
    return None if is_address(text) else Path(text.rstrip("/") or text).expanduser()


@dataclass(frozen=True)
class Store:
    """The folder at an address.

    Args:
        address: as a user writes it.
        system: its file system.
        root: the folder in that.
    """

    address: str
    system: AbstractFileSystem
    root: str

    @classmethod
    def at(cls, address: str) -> Store:
        """Opens the file system of `address`.

        Raises:
            UserError: fsspec does not know the protocol, or lacks a package for it.
        """
        from fsspec.core import url_to_fs

        protocol = re.split(r"://|::", address)[0]
        try:
            system, root = url_to_fs(address)
        except ImportError as error:
            extras = metadata("fsspec").get_all("Provides-Extra") or ()
            install = f': pip install "fsspec[{protocol}]"' if protocol in extras else ""
            reason = f"needs another package{install} ({_first_line(error)})"
            raise UserError(f"{address}: '{protocol}' {reason}") from error
        except Exception as error:  # file systems raise errors of their own
            raise UserError(f"{address}: {_first_line(error)}") from error
        root = root.rstrip("/")
        if not root:
            raise UserError(f"{address}: expected a folder behind the protocol")
        return cls(address, system, root)

    @contextmanager
    def errors(self, done: Literal["read", "written to"], more: str = "") -> Iterator[None]:
        """Turns any error of a file system, each of which has errors of its own, into one line.

        Raises:
            UserError: something cannot be read.
            StorageError: something cannot be written; `more` follows.
        """
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            if done == "read":
                raise UserError(f"{self.address}: cannot be read: {_first_line(error)}") from error
            raise StorageError(f"{self.address}: cannot be written to: {_first_line(error)}{more}") from error

    def sizes(self, *only: str) -> dict[str, int]:
        """The files below the address, by place and with their sizes; of `only` those that are there.

        Hidden files, and names that lead out of the folder, are left out.

        Raises:
            UserError: there are too many files.
        """
        self.system.invalidate_cache()
        if only:
            return {one: int(self.system.size(self._name(one))) for one in only if self.system.exists(self._name(one))}
        files = self.system.find(self.root, detail=True) if self.system.exists(self.root) else {}
        if len(files) > MOST_ENTRIES:
            raise too_many(self.address)
        places = {self.place(name): int(entry["size"]) for name, entry in files.items()}
        return {place: size for place, size in places.items() if _is_inside(PurePosixPath(place))}

    def contents(self, places: Iterable[str]) -> dict[str, bytes]:
        """The content of files, by place, fetched together."""
        content = self.system.cat([self._name(place) for place in places])
        return {self.place(name): data for name, data in content.items()}

    def copy(self, place: str, target: Path) -> None:
        """Writes a file of the address, of any size, to `target` in one step."""
        with self.system.open(self._name(place), "rb") as source, replacing(target) as file:
            shutil.copyfileobj(source, file, 2**20)

    def put(self, place: str, content: bytes) -> None:
        """Writes a file. Folders are made where the system has folders: an object store would make a bucket."""
        name = self._name(place)
        try:
            self.system.pipe_file(name, content)
        except FileNotFoundError:
            if not name.startswith("/"):
                raise
            self.system.makedirs(name.rpartition("/")[0], exist_ok=True)
            self.system.pipe_file(name, content)

    def put_all(self, folder: Path, paths: Iterable[Path]) -> None:
        """Writes files, and all files of folders, below `folder` to the same places, in their order."""
        for path in paths:
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file():
                    self.put(file.relative_to(folder).as_posix(), file.read_bytes())

    def remove(self, place: str) -> None:
        """Removes a file."""
        self.system.rm_file(self._name(place))

    def place(self, name: object) -> str:
        """The place below the address of a file that the system names."""
        return str(name).removeprefix(self.root).lstrip("/")

    def _name(self, place: str) -> str:
        return f"{self.root}/{place}"


def _is_inside(place: PurePosixPath) -> bool:
    return bool(place.name) and ".." not in place.parts and not place.name.startswith(".")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
