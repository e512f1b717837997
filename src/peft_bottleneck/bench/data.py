"""From a task to checked examples: three splits, their labels, and what identifies the data."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from eval_tasks import Files, Hub, Task

from .errors import UserError
from .files import Row, read_rows

if TYPE_CHECKING:
    from .kinds import Kind

Item = TypeVar("Item")
SPLITS = ("train", "validation", "test")

# The seed of the shuffle before `limits`: one constant, so that every run of a task sees the same examples.
LIMIT_SEED = 20190613


class Source(Protocol):
    """Rows that know where they stand."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Row: ...
    def place(self, index: int) -> str: ...


@dataclass(frozen=True)
class HubRows:
    """One split of a hub dataset; class labels are read as their names."""

    rows: Any  # datasets.Dataset
    name: str

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        row: Row = self.rows[index]
        return {column: _label_names(self.rows.features[column], value) for column, value in row.items()}

    def place(self, index: int) -> str:
        return f"{self.name}, row {index + 1}"


@dataclass(frozen=True)
class Data:
    """The examples of a task, checked and limited.

    `splits` maps train, validation and test to lists of examples in the kind's columns; `labels` are the label names
    in the order of their numbers (empty for kinds without labels); `identity` fixes the content: file hashes, or the
    hub's revision.
    """

    splits: Mapping[str, Sequence[Row]]
    labels: tuple[str, ...]
    identity: Mapping[str, Any]

    @property
    def counts(self) -> dict[str, int]:
        return {split: len(examples) for split, examples in self.splits.items()}


def load_data(task: Task, kind: Kind, limits: Mapping[str, int]) -> Data:
    """Reads and checks all three splits of `task`.

    With `limits`, a split keeps the first N examples of one fixed shuffle, the same for every run, in their original
    order. Labels are taken and checked before that, on the whole of a local file.

    Raises:
        UserError: a file, column, row or label is wrong; the message says where.
    """
    sources = _hub_sources(task, task.data) if isinstance(task.data, Hub) else _file_sources(task, task.data)
    errors, splits, labels = [], {}, task.labels or _source_labels(sources["train"], task, kind)
    for split, source in sources.items():
        # A hub dataset is fixed by its revision and may be huge: where rows are examples, only those used are read.
        early = isinstance(source, HubRows) and task.convert is None
        rows = _limited(range(len(source)), limits.get(split)) if early else range(len(source))
        try:
            placed = [(index, example) for index in rows for example in _examples(source, index, task, kind)]
            labels = labels or _sorted_labels({name for _, example in placed for name in kind.labels_of(example)})
            _check_labels(placed, source, kind, labels)
        except UserError as error:
            errors.append(error)
            if split == "train" and kind.label_column and not labels:
                break  # without labels from train, nothing true can be said about the other splits
        else:
            splits[split] = [example for _, example in _limited(placed, limits.get(split))]
    if errors:
        raise UserError.collect(errors)
    if kind.label_column and len(labels) < kind.fewest_labels:
        raise UserError(
            f"task '{task.name}': {kind.name} needs at least {kind.fewest_labels} labels, train has {quoted(labels)}"
        )
    return Data(splits, labels, _identity(task.data))


def _file_sources(task: Task, files: Files) -> dict[str, Source]:
    sources: dict[str, Source] = {}
    errors = []
    for split in SPLITS:
        try:
            sources[split] = read_rows(Path(getattr(files, split)))
        except UserError as error:
            errors.append(UserError(*(f"task '{task.name}': {split} split: {message}" for message in error.messages)))
    if errors:
        raise UserError.collect(errors)
    return sources


def _hub_sources(task: Task, hub: Hub) -> dict[str, Source]:
    import datasets

    datasets.disable_progress_bars()
    sources: dict[str, Source] = {}
    for split in SPLITS:
        name = f"{hub.id}[{getattr(hub, split)}]"
        try:
            rows = datasets.load_dataset(hub.id, hub.config, split=getattr(hub, split), revision=hub.revision)
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


def _source_labels(source: Source, task: Task, kind: Kind) -> tuple[str, ...]:
    """The label names that a hub dataset itself declares, in its order; none for files."""
    if not (kind.label_column and isinstance(source, HubRows)):
        return ()
    feature = source.rows.features.get(task.columns.get(kind.label_column, kind.label_column))
    names = getattr(getattr(feature, "feature", feature), "names", ())
    return tuple(dict.fromkeys(label for name in names for label in kind.labels_of({kind.label_column: name})))


def _examples(source: Source, index: int, task: Task, kind: Kind) -> list[Row]:
    """The examples that row `index` holds: one, unless the task converts its source's rows itself."""
    row = source[index]
    try:
        if task.convert is not None:
            return [kind.example(example) for example in task.convert(row)]
        return [kind.example(_columns(row, task, kind))]
    except ValueError as error:
        raise UserError(f"{source.place(index)}: {error}") from error


def _columns(row: Row, task: Task, kind: Kind) -> Row:
    """The kind's columns of a row; a dotted name (`translation.en`) reaches inside a column."""
    example = {}
    for column in (*kind.columns, *kind.optional_columns):
        name = task.columns.get(column, column)
        value: Any = row
        for part in [name] if name in row else name.split("."):
            value = value.get(part, _MISSING) if isinstance(value, dict) else _MISSING
        if value is not _MISSING:
            example[column] = value
        elif column in kind.columns:
            raise ValueError(
                f"no column '{name}' ({kind.name} needs it), the row has {quoted(row)}; "
                f"map a column to it with `columns: {{{column}: …}}`"
            )
    return example


_MISSING = object()


def _check_labels(placed: Sequence[tuple[int, Row]], source: Source, kind: Kind, labels: Sequence[str]) -> None:
    known = set(labels)
    for index, example in placed:
        for name in kind.labels_of(example):
            if name not in known:
                raise UserError(f"{source.place(index)}: unknown label '{name}', known are {quoted(labels)}")


def _sorted_labels(names: set[str]) -> tuple[str, ...]:
    """By number where all labels are numbers, else by name."""
    if all(name.isdecimal() for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def _limited(items: Sequence[Item], limit: int | None) -> Sequence[Item]:
    if limit is None or limit >= len(items):
        return items
    order = list(range(len(items)))
    random.Random(LIMIT_SEED).shuffle(order)
    return [items[index] for index in sorted(order[:limit])]


def _identity(data: Files | Hub) -> dict[str, Any]:
    if isinstance(data, Hub):
        return {"hub": data.id, "config": data.config, "revision": data.revision} | {
            split: getattr(data, split) for split in SPLITS
        }
    return {
        split: {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for split in SPLITS
        for path in [Path(getattr(data, split))]
    }


def quoted(words: Any, most: int = 12) -> str:
    """The words in quotes, the first `most` of them where there are many."""
    words = list(words)
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(f"'{word}'" for word in words[:most]) + more
