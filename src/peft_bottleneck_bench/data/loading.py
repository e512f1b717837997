"""From a task to checked examples: three splits, their labels, and the identity of the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import UserError, suggest
from ..kinds import Kind
from ..tasks import Task
from ..words import quoted
from .checks import notes_on
from .columns import Presence, check_columns
from .examples import Examples
from .file_rows import Row
from .labels import check_labels, sorted_labels
from .sources import SPLITS, Source, identity, open_sources, shuffled

__all__ = ["SPLITS", "Data", "load_data"]

Item = TypeVar("Item")
Placed = tuple[int, Row]  # the number of a row of the source, and an example of it


@dataclass(frozen=True)
class Data:
    """The examples of a task, checked and limited.

    Args:
        splits: train, validation and test to examples in the kind's columns.
        labels: the label names in the order of their numbers; empty for kinds without labels.
        identity: hashes of files, or the hub's revision.
        notes: facts on the examples for readers, one sentence each.
    """

    splits: Mapping[str, Sequence[Row]]
    labels: tuple[str, ...]
    identity: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        return {split: len(examples) for split, examples in self.splits.items()}


def load_data(task: Task, kind: Kind, limits: Mapping[str, int]) -> Data:
    """Reads and checks all three splits of `task`.

    With `limits`, a split keeps the first N examples of one fixed shuffle, the same for every run, in their original
    order. Labels are taken and checked before that, on the whole of a local file.

    Raises:
        UserError: a setting, file, column, row or label is wrong; the message says where.
    """
    with _Findings(task) as findings:
        for check in (kind.check_task, lambda task: check_columns(task, kind)):
            findings.attempt(check, task)
    sources = open_sources(task, kind)
    examples = Examples(task, kind)
    presence = Presence(task, kind)
    placed: dict[str, list[Placed]] = {}
    with _Findings(task) as findings:
        for split, source in sources.items():
            found = findings.attempt(_placed, source, examples, presence, limits.get(split))
            if found is not None:
                placed[split] = found
        labels = examples.labels or _source_labels(sources["train"], examples) or _labels_of_train(placed, task, kind)
        if "train" in placed:
            findings.attempt(check_labels, labels, examples.labels)
        # Without labels from train, the other splits cannot be checked.
        for split in placed if labels or "train" in placed else ():
            findings.attempt(_check_known, placed[split], sources[split], kind, labels)
    _check_enough(task, kind, labels)
    splits = {split: [example for _, example in _limited(placed[split], limits.get(split))] for split in sources}
    notes = (*examples.notes, *notes_on(splits, kind, labels))
    return Data(splits, labels, identity(task.data, sources["test"]), notes)


class _Findings:
    """Gathers errors, and raises them together at its end; those without the task's name or a file get its name."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.errors: list[UserError] = []

    def __enter__(self) -> _Findings:
        return self

    def __exit__(self, type_: type[BaseException] | None, *_: object) -> None:
        if self.errors and type_ is None:
            raise UserError.collect(self.errors)

    def attempt(self, action: Any, *arguments: object) -> Any:
        try:
            return action(*arguments)
        except UserError as error:
            start = f"task '{self.task.name}': " if action is check_labels else ""
            self.errors.append(UserError(*(f"{start}{message}" for message in error.messages)))
            return None


def _check_enough(task: Task, kind: Kind, labels: Sequence[str]) -> None:
    if kind.label_column and len(labels) < kind.fewest_labels:
        raise UserError(
            f"task '{task.name}': {kind.name} needs at least {kind.fewest_labels} labels, train has {quoted(labels)}"
        )
    if task.negative_label and task.negative_label not in labels:
        raise UserError(
            f"task '{task.name}': negative_label '{task.negative_label}' is no label of it: "
            f"{suggest(task.negative_label, labels)}"
        )


def _source_labels(source: Source, examples: Examples) -> tuple[str, ...]:
    """The labels that the source of train itself declares; a converter's are not the source's."""
    task, kind = examples.task, examples.kind
    if not kind.label_column or task.convert is not None:
        return ()
    values = source.label_values(str(task.columns.get(kind.label_column, kind.label_column)))
    return tuple(
        dict.fromkeys(label.strip() for value in values for label in kind.labels_of({kind.label_column: value}))
    )


def _labels_of_train(placed: Mapping[str, Sequence[Placed]], task: Task, kind: Kind) -> tuple[str, ...]:
    """The labels that occur in train, and in the rows taken out of it: a rare label must not be unknown by chance."""
    parts = ("train",) if isinstance(task.data.validation, (str, tuple)) else ("train", "validation")
    names = {name for part in parts for _, example in placed.get(part, ()) for name in kind.labels_of(example)}
    return sorted_labels(names)


def _placed(source: Source, examples: Examples, presence: Presence, limit: int | None) -> list[Placed]:
    """The examples with the numbers of their rows; of a lazy source no more than `limit`.

    A hub dataset is fixed by its revision and may be huge, so that only the rows that are used are read and checked.
    """

    def of_row(index: int) -> Iterator[Placed]:
        for example in examples.of(source, index):
            presence.see(example, source.place(index))
            yield index, example

    if limit is None or not source.lazy:
        return [placed for index in range(len(source)) for placed in of_row(index)]
    found: list[Placed] = []
    for index in shuffled(len(source)):
        found += of_row(index)
        if len(found) >= limit:
            break
    return sorted(found[:limit], key=lambda pair: pair[0])


def _check_known(placed: Sequence[Placed], source: Source, kind: Kind, labels: Sequence[str]) -> None:
    known = set(labels)
    for index, example in placed:
        for name in kind.labels_of(example):
            if name not in known:
                raise UserError(f"{source.place(index)}: unknown label '{name}', known are {quoted(labels)}")


def _limited(items: Sequence[Item], limit: int | None) -> Sequence[Item]:
    if limit is None or limit >= len(items):
        return items
    return [items[index] for index in sorted(shuffled(len(items))[:limit])]
