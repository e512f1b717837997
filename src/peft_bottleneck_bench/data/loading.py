"""From a task to checked examples: three splits, their labels, and what identifies the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import UserError, suggest
from ..tasks import Task
from .file_rows import Row
from .sources import SPLITS, Source, identity, open_sources, shuffled, sorted_labels

if TYPE_CHECKING:
    from ..kinds import Kind

__all__ = ["SPLITS", "Data", "load_data", "quoted"]

Item = TypeVar("Item")


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
    sources = open_sources(task, kind)
    errors: list[UserError] = []
    placed: dict[str, list[tuple[int, Row]]] = {}
    for split, source in sources.items():
        try:
            placed[split] = _placed(source, task, kind, limits.get(split))
        except UserError as error:
            errors.append(error)
    labels = task.labels or _source_labels(sources["train"], task, kind) or _labels_of_train(placed, task, kind)
    # Without labels from train, nothing true can be said about the other splits.
    for split in placed if labels or "train" in placed else ():
        try:
            _check_labels(placed[split], sources[split], kind, labels)
        except UserError as error:
            errors.append(error)
    if errors:
        raise UserError.collect(errors)
    splits = {split: [example for _, example in _limited(placed[split], limits.get(split))] for split in sources}
    if kind.label_column and len(labels) < kind.fewest_labels:
        raise UserError(
            f"task '{task.name}': {kind.name} needs at least {kind.fewest_labels} labels, train has {quoted(labels)}"
        )
    if task.negative_label and task.negative_label not in labels:
        raise UserError(
            f"task '{task.name}': negative_label '{task.negative_label}' is no label of it: "
            f"{suggest(task.negative_label, labels)}"
        )
    return Data(splits, labels, identity(task.data, sources["test"]))


def _source_labels(source: Source, task: Task, kind: Kind) -> tuple[str, ...]:
    """The labels that the source of train itself tells; a converter's are not the source's."""
    if not kind.label_column or task.convert is not None:
        return ()
    values = source.label_values(task.columns.get(kind.label_column, kind.label_column))
    return tuple(dict.fromkeys(label for value in values for label in kind.labels_of({kind.label_column: value})))


def _labels_of_train(placed: Mapping[str, Sequence[tuple[int, Row]]], task: Task, kind: Kind) -> tuple[str, ...]:
    """The labels that occur in train, and in what was taken out of it: a rare one must not be unknown by chance."""
    parts = ("train", "validation") if isinstance(task.data.validation, int) else ("train",)
    names = {name for part in parts for _, example in placed.get(part, ()) for name in kind.labels_of(example)}
    return sorted_labels(names)


def _placed(source: Source, task: Task, kind: Kind, limit: int | None) -> list[tuple[int, Row]]:
    """The examples with the numbers of their rows; of a lazy source no more than `limit`.

    A hub dataset is fixed by its revision and may be huge, so that only the rows that are used are read and checked.
    """
    if limit is None or not source.lazy:
        return [(index, example) for index in range(len(source)) for example in _examples(source, index, task, kind)]
    placed: list[tuple[int, Row]] = []
    for index in shuffled(len(source)):
        placed += [(index, example) for example in _examples(source, index, task, kind)]
        if len(placed) >= limit:
            break
    return sorted(placed[:limit], key=lambda pair: pair[0])


def _examples(source: Source, index: int, task: Task, kind: Kind) -> list[Row]:
    """The examples that row `index` holds: one, unless the task converts its source's rows itself."""
    row = source[index]
    try:
        if task.convert is not None:
            return [kind.example(example) for example in task.convert(row)]
        return [kind.example(_columns(row, task, kind))]
    except ValueError as error:
        raise UserError(f"{source.place(index)}: {error}") from error
    except KeyError as error:  # of a converter
        raise UserError(
            f"{source.place(index)}: no column {error}, which task '{task.name}' reads; the row has {quoted(row)}"
        ) from error


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


def _limited(items: Sequence[Item], limit: int | None) -> Sequence[Item]:
    if limit is None or limit >= len(items):
        return items
    return [items[index] for index in sorted(shuffled(len(items))[:limit])]


def quoted(words: Any, most: int = 12) -> str:
    """The words in quotes, the first `most` of them where there are many."""
    words = list(words)
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(f"'{word}'" for word in words[:most]) + more
