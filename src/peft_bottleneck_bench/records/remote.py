"""Folders of records at an address, such as `s3://bucket/results`, through fsspec.

Runs are done in a folder of this machine, the working folder of the address. `fetch` brings records and predictions
there, so that no finished run is repeated; `send` takes what a run has written to the address. Nothing is deleted at
either place. The name of a working folder is its address, so `RESULTS-search` and `RESULTS-adapters` have addresses
too: those of `results` with the same ending.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, unquote
from uuid import uuid4

from ..errors import UserError
from ..files import StorageError, replacing
from .files import LARGEST_FILE, read_if_there
from .predictions import predictions_path

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(://|::)")
LOCAL = re.compile(r"(file|local)://")
LONGEST_NAME = 200  # of a working folder, which other endings follow: systems allow 255 bytes
AT_ONCE = 64  # files that are fetched together
RECORD, PREDICTIONS = ".json", ".predictions.jsonl.gz"


def is_address(text: str) -> bool:
    """Whether `text` is an address of fsspec, and no path."""
    return ADDRESS.match(text) is not None


def folder_of(text: str) -> Path:
    """The folder of this machine for a path or an address; `file://` and `local://` are paths."""
    if local := LOCAL.match(text):
        text = text[local.end() :]
    if not is_address(text):
        return Path(text.rstrip("/") or text).expanduser()
    bare = text.rstrip("/")
    return _working_folders() / quote(bare if is_address(bare) else text, safe="")


def address_of(folder: Path) -> str | None:
    """The address whose working folder `folder` is, if it is one."""
    return unquote(folder.name) if folder.parent == _working_folders() else None


def shown(folder: Path) -> str:
    """`folder` for people: its address if it has one."""
    return address_of(folder) or str(folder)


def fetched(text: str | Path) -> Path:
    """The folder of this machine for a path or an address, with what is at the address.

    Raises:
        UserError: the address cannot be read.
    """
    folder = folder_of(str(text))
    fetch(folder)
    return folder


def check(address: str) -> None:
    """Writes and removes a small file at `address`.

    Raises:
        UserError: fsspec does not know the protocol, lacks a package for it, or cannot write there.
    """
    if len(folder_of(address).name) > LONGEST_NAME:
        raise UserError(f"{address}: longer than {LONGEST_NAME} characters, written as a file name")
    system, root = _opened(address)
    with _one_line(address, "written"):
        there = system.exists(root)
        probe = f"{root}/.probe-{uuid4().hex}"
        _put(system, probe, b"0")
        system.rm_file(probe)
        if not there and system.exists(root):  # object stores have no empty folders
            system.rmdir(root)


def fetch(folder: Path) -> None:
    """Brings the records and predictions that `folder` lacks from its address; does nothing where it has none.

    A finished record of this machine stays too: the one at the address is that of an earlier, failed attempt.

    Raises:
        UserError: the address cannot be read.
    """
    address = address_of(folder)
    if address is None:
        return
    system, root = _opened(address)
    with _one_line(address, "read"):
        _bring(system, root, folder, _listed(system, root))


def fetch_record(folder: Path, record: Path) -> None:
    """Brings one record below `folder`, and its predictions, if it is at the address by now.

    Raises:
        UserError: the address cannot be read.
    """
    address = address_of(folder)
    if address is None:
        return
    system, root = _opened(address)
    places = [path.relative_to(folder).as_posix() for path in (record, predictions_path(record))]
    with _one_line(address, "read"):
        system.invalidate_cache()
        found = {place: int(system.size(f"{root}/{place}")) for place in places if system.exists(f"{root}/{place}")}
        _bring(system, root, folder, found)


def unsent(folder: Path, records: Iterable[Path]) -> list[Path]:
    """Those of `records` below `folder` that are not at its address; none where it has none.

    Raises:
        UserError: the address cannot be read.
    """
    address = address_of(folder)
    if address is None:
        return []
    system, root = _opened(address)
    with _one_line(address, "read"):
        there = _listed(system, root)
    return [path for path in records if there.get(path.relative_to(folder).as_posix()) != path.stat().st_size]


def send(folder: Path, paths: Iterable[Path]) -> None:
    """Writes files, and all files of folders, below `folder` to its address, in their order; to none if it has none.

    Raises:
        StorageError: the address cannot be written to; what is in `folder` stays.
    """
    address = address_of(folder)
    if address is None:
        return
    system, root = _opened(address)
    with _one_line(address, "written", f"; the files stay in {folder}"):
        for path in paths:
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file():
                    _put(system, f"{root}/{file.relative_to(folder).as_posix()}", file.read_bytes())


def _working_folders() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(cache) / "peft-bottleneck" / "results"


def _opened(address: str) -> tuple[AbstractFileSystem, str]:
    """The file system of an address, and the place in it."""
    from fsspec.core import url_to_fs

    protocol = re.split(r"://|::", address)[0]
    try:
        system, root = url_to_fs(address)
    except ImportError as error:
        extras = metadata("fsspec").get_all("Provides-Extra") or ()
        install = f': pip install "fsspec[{protocol}]"' if protocol in extras else ""
        raise UserError(f"{address}: '{protocol}' needs another package{install} ({_first_line(error)})") from error
    except Exception as error:
        raise UserError(f"{address}: {_first_line(error)}") from error
    root = root.rstrip("/")
    if not root:
        raise UserError(f"{address}: expected a folder behind the protocol")
    return system, root


def _listed(system: AbstractFileSystem, root: str) -> dict[str, int]:
    """The records and predictions below `root`, with their sizes."""
    system.invalidate_cache()
    files = system.find(root, detail=True) if system.exists(root) else {}
    found = {}
    for name, entry in files.items():
        place = PurePosixPath(str(name).removeprefix(root).lstrip("/"))
        if place.name.endswith((RECORD, PREDICTIONS)) and ".." not in place.parts and not place.name.startswith("."):
            found[place.as_posix()] = int(entry["size"])
    return found


def _bring(system: AbstractFileSystem, root: str, folder: Path, there: dict[str, int]) -> None:
    """Writes those files of `there`, by place and with their sizes, that `folder` lacks: records after predictions."""
    wanted = [place for place, size in there.items() if size <= LARGEST_FILE and _is_news(folder / place, size)]
    wanted.sort(key=lambda place: place.endswith(RECORD))
    for start in range(0, len(wanted), AT_ONCE):
        content = system.cat([f"{root}/{place}" for place in wanted[start : start + AT_ONCE]])
        by_place = {str(name).removeprefix(root).lstrip("/"): data for name, data in content.items()}
        for place in wanted[start : start + AT_ONCE]:
            with replacing(folder / place) as file:
                file.write(by_place[place])


def _is_news(path: Path, size: int) -> bool:
    if not path.exists():
        return True
    record = path
    if path.name.endswith(PREDICTIONS):
        record = path.with_name(path.name.removesuffix(PREDICTIONS) + RECORD)
    mine = read_if_there(record)
    return path.stat().st_size != size and (mine is None or mine.status == "failed")


def _put(system: AbstractFileSystem, place: str, content: bytes) -> None:
    """Writes a file. Folders are made where the system has folders: an object store would make a bucket."""
    try:
        system.pipe_file(place, content)
    except FileNotFoundError:
        if not place.startswith("/"):
            raise
        system.makedirs(place.rpartition("/")[0], exist_ok=True)
        system.pipe_file(place, content)


@contextmanager
def _one_line(address: str, done: Literal["read", "written"], more: str = "") -> Iterator[None]:
    """Turns any error of a file system, each of which has errors of its own, into one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if done == "read":
            raise UserError(f"{address}: cannot be read: {_first_line(error)}") from error
        raise StorageError(f"{address}: cannot be written to: {_first_line(error)}{more}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
