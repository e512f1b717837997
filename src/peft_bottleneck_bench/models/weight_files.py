"""Whether the files of weights in a directory can be read, by their headers: a plan finds what a run would."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from ..errors import first_line

SUFFIXES = (".safetensors", ".bin")
GIT_LFS = b"version https://git-lfs.github.com/spec/"
_PICKLE = b"\x80"  # how torch saved before its files were zip archives


def problem_with_weights(folder: Path) -> str | None:
    """What is wrong with the weights in a directory, or None.

    A directory without weights, a list of shards that names a file that is not there, a pointer of Git LFS in the
    place of a file, a file that is cut off or of another format.
    """
    files = sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES and file.is_file())
    if not files:
        return f"no {' or '.join(SUFFIXES)} file in the directory"
    for index in sorted(folder.glob("*.index.json")):
        try:
            shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            return f"{index.name} is damaged: {type(error).__name__}: {first_line(error)}"
        if missing := sorted(map(str, shards - {file.name for file in files})):
            return f"{index.name} names {missing[0]}, which is not in the directory"
    return next((found for file in files if (found := _problem_with(file)) is not None), None)


def _problem_with(file: Path) -> str | None:
    with file.open("rb") as stream:
        start = stream.read(len(GIT_LFS))
    if start == GIT_LFS:
        return f"{file.name} is a pointer of Git LFS, not the weights: `git lfs pull` fetches them"
    if file.suffix == ".bin":
        return None if start.startswith(_PICKLE) or zipfile.is_zipfile(file) else f"{file.name} is damaged or cut off"
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt"):  # it reads the header, and compares the size
            return None
    except SafetensorError as error:
        return f"{file.name} is damaged or cut off: {first_line(error)}"
