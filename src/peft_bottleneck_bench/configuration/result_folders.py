"""The folders of records and adapters in a run configuration: on a disk, or at an address."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from ..errors import UserError
from ..processes import is_main
from ..records import remote
from .findings import Findings


def read_folder(key: str, value: Any, findings: Findings) -> Path | None:
    """The folder `value`, or that for the address `value`, if it exists or can be made; nothing is made here.

    None where there is none, with the reason in `findings`.
    """
    if not findings.typed(key, value, str, "a path or an address"):
        return None
    if not value.strip() or not value.isprintable():
        findings.wrong(f"{key}: expected a path or an address, found {value!r}")
        return None
    folder = remote.folder_of(value)
    if (address := remote.address_of(folder)) and is_main():
        try:
            remote.check(address)
        except UserError as error:
            findings.wrong(f"{key}: {error}")
            return None
    there = folder
    try:
        while not there.exists() and there != there.parent:
            there = there.parent
    except OSError as error:
        findings.wrong(f"{key}: {folder}: {error.strerror}")
        return None
    if not there.is_dir():
        findings.wrong(f"{key}: {there} is no folder")
        return folder
    try:
        TemporaryFile(dir=there).close()  # a file without a name: permissions do not show what root may do
    except OSError as error:
        findings.wrong(f"{key}: {there} cannot be written to: {error.strerror}")
    return folder
