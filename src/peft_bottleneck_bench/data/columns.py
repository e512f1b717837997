"""The columns of a kind in the rows of a source."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import UserError, suggest
from ..kinds import Kind
from ..tasks import Task
from ..words import quoted
from .file_rows import Row

_MISSING = object()


def check_columns(task: Task, kind: Kind) -> None:
    """Refuses keys of `columns` that the kind does not have, names that are none, and one source for two columns.

    Raises:
        UserError: one message for everything that is wrong.
    """
    known = (*kind.required(task), *kind.optional(task))
    errors = []
    for column, name in task.columns.items():
        if task.convert is not None:
            errors.append(f"columns: the task converts its rows itself, so that '{column}' has no effect")
        elif column not in known:
            errors.append(f"columns: {kind.name} has no column '{column}': {suggest(str(column), known)}")
        elif isinstance(name, bool) or not isinstance(name, (str, int)) or name == "":
            errors.append(f"columns.{column}: expected the name of a column, found {name!r}")
    names = [str(name) for name in task.columns.values()]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        both = [str(column) for column, other in task.columns.items() if str(other) == name]
        errors.append(f"columns: {' and '.join(both)} are the same column, '{name}'")
    if errors:
        raise UserError(*(f"task '{task.name}': {error}" for error in errors))


def example_of(row: Row, task: Task, kind: Kind) -> Row:
    """The kind's columns of a row.

    Raises:
        ValueError: the row lacks a column that the kind needs or the task names.
    """
    example: Row = {}
    required = kind.required(task)
    for column in (*required, *kind.optional(task)):
        name = str(task.columns.get(column, column))
        value = find(row, name)
        if value is not _MISSING:
            example[column] = value
        elif column in required:
            mapping = "" if column in task.columns else f"; map a column to it with `columns: {{{column}: …}}`"
            raise ValueError(f"no column '{name}' ({kind.name} needs it), the row has {quoted(row)}{mapping}")
        elif column in task.columns:
            raise ValueError(f"no column '{name}', which `columns` names, the row has {quoted(row)}")
    return example


def find(row: object, name: str) -> object:
    """The value called `name`; a dotted name reaches inside objects and, by numbers, lists: `answers.text.0`."""
    if isinstance(row, Mapping) and name in row:
        return row[name]
    value = row
    for part in name.split("."):
        if isinstance(value, Mapping):
            value = value.get(part, _MISSING)
        elif isinstance(value, (list, tuple)) and part.lstrip("-").isdecimal():
            index = int(part)
            value = value[index] if -len(value) <= index < len(value) else _MISSING
        else:
            return _MISSING
    return value


def is_missing(value: object) -> bool:
    """Whether `find` found nothing."""
    return value is _MISSING


class Presence:
    """Whether an optional part of examples is there in all rows or in none."""

    def __init__(self, task: Task, kind: Kind) -> None:
        self.task = task
        self.kind = kind
        self.first: dict[str, tuple[bool, str]] = {}

    def see(self, example: Row, place: str) -> None:
        """Takes note of an example.

        Raises:
            UserError: it has a part that an example before it lacks, or the other way round.
        """
        for column, there in self.kind.parts(example).items():
            before, where = self.first.setdefault(column, (there, place))
            if there != before:
                having, lacking = (place, where) if there else (where, place)
                name = self.task.columns.get(column, column)
                raise UserError(
                    f"task '{self.task.name}': column '{name}' is there in some rows only: {having} has it, "
                    f"{lacking} lacks it"
                )
