"""Where the rows of a task come from: local files and folders, or a data set of the hub."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import Any, Protocol

from ..errors import UserError
from ..kinds import Kind
from ..tasks import Files, Format, Hub, Task
from .file_rows import Row
from .files import LINES, is_plain, read_pairs, read_rows
from .hub import HubRows, hub_rows, is_saved, saved_folder, saved_rows
from .images import beside, image_rows, is_image_folder
from .opened import suffix_of

SPLITS = ("train", "validation", "test")

# The seed of every shuffle of examples: one constant, so that every run of a task sees the same ones.
SHUFFLE_SEED = 20190613


class Source(Protocol):
    """The rows of one split, which know where they are."""

    @property
    def lazy(self) -> bool:
        """Whether rows are read on access: then a limit saves reading the others."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Row: ...
    def place(self, index: int) -> str: ...
    def label_values(self, column: str) -> Sequence[Any]:
        """Values of `column` that hold all labels of the split, where they are known without reading every row."""


@dataclass(frozen=True)
class Part:
    """Some rows of another source."""

    whole: Source
    indices: Sequence[int]

    @property
    def lazy(self) -> bool:
        return self.whole.lazy

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Row:
        return self.whole[self.indices[index]]

    def place(self, index: int) -> str:
        return self.whole.place(self.indices[index])

    def label_values(self, column: str) -> Sequence[Any]:
        return self.whole.label_values(column)


@dataclass(frozen=True)
class Joined:
    """Several sources, one after the other."""

    parts: Sequence[Source]

    @property
    def lazy(self) -> bool:
        return any(part.lazy for part in self.parts)

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def __getitem__(self, index: int) -> Row:
        part, inside = self._place(index)
        return part[inside]

    def place(self, index: int) -> str:
        part, inside = self._place(index)
        return part.place(inside)

    def label_values(self, column: str) -> Sequence[Any]:
        """The names that all parts declare, if they agree."""
        first, *others = (part.label_values(column) for part in self.parts)
        return first if all(list(other) == list(first) for other in others) else ()

    def _place(self, index: int) -> tuple[Source, int]:
        for part in self.parts:
            if index < len(part):
                return part, index
            index -= len(part)
        raise IndexError(index)


def open_sources(task: Task, kind: Kind) -> dict[str, Source]:
    """The three splits of `task`.

    Raises:
        UserError: a file or the dataset cannot be read, or train is too small to give the validation split.
    """
    data = task.data
    sources: dict[str, Source] = {}
    errors = []
    for split in SPLITS:
        part = getattr(data, split)
        if isinstance(part, (int, float)):
            continue
        try:
            sources[split] = (
                hub_rows(task, data, split, part) if isinstance(data, Hub) else _file_source(part, data, kind, split)
            )
        except UserError as error:
            if isinstance(data, Hub):
                raise
            errors.append(UserError(*(f"task '{task.name}': {split} split: {message}" for message in error.messages)))
    if errors:
        raise UserError.collect(errors)
    if isinstance(data.validation, (int, float)):
        train, count = sources["train"], held_out(data.validation, len(sources["train"]))
        if count >= len(train):
            raise UserError(f"task '{task.name}': validation: {count} of the {len(train)} rows of train leave none")
        chosen = set(shuffled(len(train))[:count])
        sources["validation"] = Part(train, sorted(chosen))
        sources["train"] = Part(train, [index for index in range(len(train)) if index not in chosen])
    return {split: sources[split] for split in SPLITS}


def held_out(validation: int | float, rows: int) -> int:
    """How many rows of train `validation` asks for: a number of them, or a share below 1."""
    return validation if isinstance(validation, int) else max(1, round(validation * rows))


def shuffled(count: int) -> list[int]:
    """The numbers below `count` in a fixed random order."""
    order = list(range(count))
    random.Random(SHUFFLE_SEED).shuffle(order)
    return order


def identity(data: Files | Hub, test: Source) -> dict[str, Any]:
    """The identity of the content of `data`: the commit of a hub dataset, the hashes of files.

    Where the task's revision is a branch, the rows of its `test` split know the commit.
    """
    if isinstance(data, Hub):
        folder = {"folder": data.folder} if data.folder else {}
        revision = (test.commit if isinstance(test, HubRows) else None) or data.revision
        return {"hub": data.id, "config": data.config, **folder, "revision": revision} | {
            split: getattr(data, split) for split in SPLITS
        }
    return {split: _file_identity(getattr(data, split), data, split) for split in SPLITS}


def _file_identity(file: str | tuple[str, ...] | int | float, files: Files, split: str) -> dict[str, object]:
    if isinstance(file, (int, float)):
        return {**_file_identity(files.train, files, "train"), "held_out": file}
    names = [path for name in ([file] if isinstance(file, str) else file) for path in _paths(name)]
    paths = [path for name in names for path in _content(saved_folder(name, split))]
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    together = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    return {"file": " and ".join(path.name for path in names), "sha256": together, **files.settings}


def _content(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _file_source(names: str | tuple[str, ...], files: Files, kind: Kind, split: str) -> Source:
    paths = [_paths(name) for name in ([names] if isinstance(names, str) else names)]
    flat = [path for found in paths for path in found]
    if files.format == LINES or (not files.format and len(names) > 1 and not isinstance(names, str) and _plain(flat)):
        return _aligned(paths, kind)
    if len({suffix_of(path) for path in flat if path.is_file()}) > 1 and not files.format:
        raise UserError(f"several files of one split have one format, found {', '.join(map(str, flat))}")
    sources = [_source(path, files, split, kind) for path in flat]
    return sources[0] if len(sources) == 1 else Joined(sources)


def _plain(paths: Sequence[Path]) -> bool:
    return all(is_plain(path) and not path.is_dir() for path in paths)


def _source(path: Path, form: Format, split: str, kind: Kind) -> Source:
    if is_saved(path):
        return saved_rows(saved_folder(path, split))
    if is_image_folder(path):
        return image_rows(path)
    rows = read_rows(path, form)
    return rows if kind.reads_text else beside(rows, path.parent)


def _paths(name: str) -> list[Path]:
    """The file called `name`, or those that the pattern `name` fits, in the order of their names.

    Raises:
        UserError: no file fits the pattern.
    """
    if not has_magic(name) or Path(name).exists():
        return [Path(name)]
    found = [Path(path) for path in sorted(glob(name, recursive=True)) if Path(path).is_file()]
    if not found:
        raise UserError(f"{name}: no file fits this pattern")
    return found


def _aligned(paths: Sequence[Sequence[Path]], kind: Kind) -> Source:
    columns = kind.columns
    if len(columns) != 2:
        raise UserError(f"two line-aligned files have two columns, {kind.name} needs {', '.join(columns)}")
    if len(paths) != 2 or len(paths[0]) != len(paths[1]):
        files = ", ".join(str(path) for found in paths for path in found)
        raise UserError(
            f"expected two line-aligned files, as in [train.en, train.de], found {files}; "
            "several files of one format are joined where `format` names it"
        )
    first, second = columns
    pairs = [read_pairs(one, other, (first, second)) for one, other in zip(*paths, strict=True)]
    return pairs[0] if len(pairs) == 1 else Joined(pairs)
