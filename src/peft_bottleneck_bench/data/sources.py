"""Where the rows of a task come from: local files, or a data set of the hub."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ..errors import UserError
from ..tasks import Files, Hub, Task
from .file_rows import Row
from .files import read_pairs, read_rows

if TYPE_CHECKING:
    from ..kinds import Kind

SPLITS = ("train", "validation", "test")

# The seed of every shuffle of examples: one constant, so that every run of a task sees the same ones.
SHUFFLE_SEED = 20190613


class Source(Protocol):
    """The rows of one split, which know where they stand."""

    @property
    def lazy(self) -> bool:
        """Whether a row is read when it is asked for: then a limit saves reading the others."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Row: ...
    def place(self, index: int) -> str: ...
    def label_values(self, column: str) -> Sequence[Any]:
        """Values of `column` that hold all labels of the split, where they can be had without reading every row."""


@dataclass(frozen=True)
class HubRows:
    """One split of a hub dataset; class labels are read as their names."""

    rows: Any  # datasets.Dataset
    name: str

    lazy: ClassVar[bool] = True

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        row: Row = self.rows[index]
        return {column: _label_names(self.rows.features[column], value) for column, value in row.items()}

    def place(self, index: int) -> str:
        return f"{self.name}, row {index + 1}"

    @property
    def commit(self) -> str | None:
        """The commit that was read, which is what `datasets` calls the folder that it keeps a split in."""
        folders = [Path(file["filename"]).parent.name for file in self.rows.cache_files]
        return next((folder for folder in folders if re.fullmatch(r"[0-9a-f]{40}", folder)), None)

    def label_values(self, column: str) -> Sequence[Any]:
        """The names that the dataset declares, in its order, or else the values that occur, sorted."""
        feature = self.rows.features.get(column)
        names = getattr(getattr(feature, "feature", feature), "names", ())
        if names:
            return [list(names)] if hasattr(feature, "feature") else list(names)
        if getattr(feature, "dtype", None) not in ("string", "large_string", "int32", "int64"):
            return ()
        return sorted_labels({str(value) for value in self.rows.unique(column) if value is not None})


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


def open_sources(task: Task, kind: Kind) -> dict[str, Source]:
    """The three splits of `task`.

    Raises:
        UserError: a file or the dataset cannot be read, or train is too small to give the validation split.
    """
    data = task.data
    sources = _hub_sources(task, data) if isinstance(data, Hub) else _file_sources(task, data, kind)
    if isinstance(data.validation, int):
        train, count = sources["train"], data.validation
        if count >= len(train):
            raise UserError(f"task '{task.name}': validation: {count} of the {len(train)} rows of train leave none")
        held_out = set(shuffled(len(train))[:count])
        sources["validation"] = Part(train, sorted(held_out))
        sources["train"] = Part(train, [index for index in range(len(train)) if index not in held_out])
    return {split: sources[split] for split in SPLITS}


def shuffled(count: int) -> list[int]:
    """The numbers below `count` in an order that is always the same."""
    order = list(range(count))
    random.Random(SHUFFLE_SEED).shuffle(order)
    return order


def sorted_labels(names: set[str]) -> tuple[str, ...]:
    """By number where all labels are numbers, else by name."""
    if all(name.isdecimal() for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def identity(data: Files | Hub, test: Source) -> dict[str, Any]:
    """What fixes the content of `data`: the commit of a hub dataset, the hashes of files.

    Where the task's revision is a branch, the rows of its `test` split tell the commit.
    """
    if isinstance(data, Hub):
        folder = {"folder": data.folder} if data.folder else {}
        revision = (test.commit if isinstance(test, HubRows) else None) or data.revision
        return {"hub": data.id, "config": data.config, **folder, "revision": revision} | {
            split: getattr(data, split) for split in SPLITS
        }
    return {split: _file_identity(getattr(data, split), data) for split in SPLITS}


def _file_identity(file: str | tuple[str, str] | int, files: Files) -> dict[str, Any]:
    if isinstance(file, int):
        return {**_file_identity(files.train, files), "held_out": file}
    paths = [Path(name) for name in ([file] if isinstance(file, str) else file)]
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    together = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    return {"file": " and ".join(path.name for path in paths), "sha256": together}


def _file_sources(task: Task, files: Files, kind: Kind) -> dict[str, Source]:
    sources: dict[str, Source] = {}
    errors = []
    for split in SPLITS:
        file = getattr(files, split)
        try:
            if isinstance(file, str):
                sources[split] = read_rows(Path(file), files.format)
            elif not isinstance(file, int):
                sources[split] = read_pairs(Path(file[0]), Path(file[1]), _pair_columns(kind))
        except UserError as error:
            errors.append(UserError(*(f"task '{task.name}': {split} split: {message}" for message in error.messages)))
    if errors:
        raise UserError.collect(errors)
    return sources


def _pair_columns(kind: Kind) -> tuple[str, str]:
    if len(kind.columns) != 2:
        raise UserError(f"two line-aligned files have two columns, {kind.name} needs {', '.join(kind.columns)}")
    first, second = kind.columns
    return first, second


def _hub_sources(task: Task, hub: Hub) -> dict[str, Source]:
    import datasets

    datasets.disable_progress_bars()
    sources: dict[str, Source] = {}
    for split in SPLITS:
        part = getattr(hub, split)
        if isinstance(part, int):
            continue
        name = f"{hub.id}[{part}]"
        try:
            rows = datasets.load_dataset(hub.id, hub.config, data_dir=hub.folder, split=part, revision=hub.revision)
        except Exception as error:  # the hub client, file readers and the network each raise their own classes
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UserError(f"task '{task.name}': {name} at revision {hub.revision}: {reason}") from error
        if len(rows) == 0:
            raise UserError(f"task '{task.name}': {split} split: {name}: no rows")
        sources[split] = HubRows(rows, name)
    return sources


def _label_names(feature: Any, value: Any) -> Any:
    """`value`, with the numbers of a `ClassLabel` feature (or of a list of them) replaced by their names.

    GLUE and others mark withheld labels with -1; those become None, which no kind accepts.
    """
    if isinstance(value, list) and hasattr(feature, "feature"):
        return [_label_names(feature.feature, item) for item in value]
    if isinstance(value, int) and hasattr(feature, "int2str"):
        return feature.int2str(value) if value >= 0 else None
    return value
