"""Folders of records and adapters at an address, such as `s3://bucket/results`, through fsspec.

Runs are done in a folder of this machine, the working folder of the address. `fetch` brings records and predictions
there, so that no finished run is repeated; `send` takes what a run has written to the address. Nothing is deleted at
either place. The name of a working folder is its address, so `RESULTS-search` and `RESULTS-adapters` have addresses
too: those of `results` with the same ending.

Three functions take what a user gives, a path or an address: `fetched` to read records, `copied` to read a folder of
any other files, such as an adapter, and `destination` to write a new folder.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote
from uuid import uuid4

from ..errors import UserError
from ..files import replacing
from .files import LARGEST_FILE, read_if_there
from .predictions import predictions_path
from .stores import Store, as_path, is_address

LONGEST_NAME = 200  # of a working folder, which other endings follow: systems allow 255 bytes
AT_ONCE = 64  # files that are fetched together
RECORD, PREDICTIONS = ".json", ".predictions.jsonl.gz"


def folder_of(text: str) -> Path:
    """The folder of this machine for a path or an address; `file://` and `local://` are paths."""
    return as_path(text) or _working_folders("results") / _name(text)


def address_of(folder: Path) -> str | None:
    """The address whose working folder `folder` is, if it is one."""
    return unquote(folder.name) if folder.parent == _working_folders("results") else None


def shown(path: Path) -> str:
    """`path` for people: its address if it is at one."""
    for folder in (path, *path.parents):
        if address := address_of(folder):
            return "/".join((address, *path.relative_to(folder).parts))
        if folder.parent.parent == _working_folders("copies"):
            return "/".join((unquote(folder.parent.name), *path.relative_to(folder).parts))
    return str(path)


def fetched(text: str | Path) -> Path:
    """The folder of this machine for a path or an address, with the records at the address; or that of one record.

    Raises:
        UserError: the address cannot be read, or has no folder of a name that can be made here.
    """
    text = _given(text)
    if as_path(text) is None and text.endswith(RECORD):
        parent, _, name = text.rpartition("/")
        folder = folder_of(parent)
        fetch(folder, folder / name)
        return folder / name
    folder = folder_of(text)
    fetch(folder)
    return folder


def fetched_folder(text: str | Path) -> Path:
    """As `fetched`, for a folder of records.

    Raises:
        UserError: there is no such folder, or the address cannot be read.
    """
    folder = fetched(text)
    if not folder.is_dir():
        raise UserError(f"{text}: no such folder: give the folder of records that a run has written")
    return folder


def copied(text: str | Path, wanted: Callable[[str], bool] = bool) -> Path:
    """The folder of this machine for a path or an address, with the files that are now at the address.

    Args:
        wanted: whether to bring the file at this place below the address; by default all.

    Raises:
        UserError: the address cannot be read, or there is nothing.
    """
    text = _given(text)
    if (path := as_path(text)) is not None:
        return path
    address = text.rstrip("/")
    store = _opened(address)
    # The folder has no neighbours: those of an adapter can be members of its fusion.
    folder = _working_folders("copies") / _name(address) / address.rpartition("/")[2]
    with store.errors("read"):
        there = [place for place in store.sizes() if wanted(place)]
        if not there:
            raise UserError(f"{address}: no such folder")
        for place in there:
            store.copy(place, folder / place)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(folder).as_posix() not in there:
            path.unlink(missing_ok=True)
    return folder


@contextmanager
def destination(text: str | Path, *, new: bool = False) -> Iterator[Path]:
    """A folder to write into. What is in it at the end goes to the address if `text` is one.

    Args:
        new: whether nothing may be at the address yet.

    Raises:
        UserError: something is there and may not be, or fsspec cannot write there.
        StorageError: the address cannot be written to in the end.
    """
    text = _given(text)
    if (path := as_path(text)) is not None:
        yield path
        return
    address = text.rstrip("/")
    check(address)
    store = _opened(address)
    with store.errors("read"):
        if new and store.sizes():
            raise UserError(f"{address} exists and is not empty")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "new"
        yield folder
        with store.errors("written to"):
            store.put_all(folder, [folder])


def check(address: str) -> None:
    """Writes and removes a small file at `address`.

    Raises:
        UserError: fsspec does not know the protocol, lacks a package for it, or cannot write there.
    """
    store = _opened(address)
    with store.errors("written to"):
        there = store.system.exists(store.root)
        probe = f".probe-{uuid4().hex}"
        store.put(probe, b"0")
        store.remove(probe)
        if not there and store.system.exists(store.root):  # object stores have no empty folders
            store.system.rmdir(store.root)


def fetch(folder: Path, record: Path | None = None) -> None:
    """Brings the records and predictions that `folder` lacks from its address; does nothing where it has none.

    A finished record of this machine stays too: the one at the address is that of an earlier, failed attempt.

    Args:
        record: the only one to bring, with its predictions.

    Raises:
        UserError: the address cannot be read.
    """
    if (store := _store_of(folder)) is None:
        return
    wanted = () if record is None else (record, predictions_path(record))
    with store.errors("read"):
        _bring(store, folder, store.sizes(*(path.relative_to(folder).as_posix() for path in wanted)))


def unsent(folder: Path, records: Iterable[Path]) -> list[Path]:
    """Those of `records` below `folder` that are not at its address; none where it has none.

    Raises:
        UserError: the address cannot be read.
    """
    if (store := _store_of(folder)) is None:
        return []
    with store.errors("read"):
        there = store.sizes()
    return [path for path in records if there.get(path.relative_to(folder).as_posix()) != path.stat().st_size]


def send(folder: Path, paths: Iterable[Path]) -> None:
    """Writes files, and all files of folders, below `folder` to its address, in their order; to none if it has none.

    Raises:
        StorageError: the address cannot be written to; what is in `folder` stays.
    """
    if (store := _store_of(folder)) is None:
        return
    with store.errors("written to", f"; the files stay in {folder}"):
        store.put_all(folder, paths)


def _given(text: str | Path) -> str:
    """Nothing is no place: Python takes it for the folder that the program was started in."""
    if not str(text).strip():
        raise UserError(f"expected a path or an address, found {str(text)!r}")
    return str(text)


def _working_folders(kind: str) -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(cache) / "peft-bottleneck" / kind


def _name(address: str) -> str:
    """The name of the working folder."""
    bare = address.rstrip("/")
    return quote(bare if is_address(bare) else address, safe="")


def _opened(address: str) -> Store:
    if len(_name(address)) > LONGEST_NAME:
        raise UserError(f"{address}: longer than {LONGEST_NAME} characters, written as a file name")
    return Store.at(address)


def _store_of(folder: Path) -> Store | None:
    """The address of `folder`, opened, if it has one."""
    address = address_of(folder)
    return None if address is None else _opened(address)


def _bring(store: Store, folder: Path, there: dict[str, int]) -> None:
    """Writes the records and predictions of `there` that `folder` lacks: records after predictions."""
    wanted = [
        place
        for place, size in there.items()
        if place.endswith((RECORD, PREDICTIONS)) and size <= LARGEST_FILE and _is_news(folder / place, size)
    ]
    wanted.sort(key=lambda place: place.endswith(RECORD))
    for start in range(0, len(wanted), AT_ONCE):
        for place, content in store.contents(wanted[start : start + AT_ONCE]).items():
            with replacing(folder / place) as file:
                file.write(content)


def _is_news(path: Path, size: int) -> bool:
    if not path.exists():
        return True
    record = path
    if path.name.endswith(PREDICTIONS):
        record = path.with_name(path.name.removesuffix(PREDICTIONS) + RECORD)
    mine = read_if_there(record)
    return path.stat().st_size != size and (mine is None or mine.status == "failed")
