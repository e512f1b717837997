"""From a row of a source to the examples of a kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from ..errors import UserError, first_line, suggest
from ..kinds import Kind
from ..tasks import Task
from ..words import quoted
from .columns import example_of
from .entity_forms import entity_example
from .file_rows import Row
from .relation_forms import relation_examples
from .schemes import to_iob2
from .sources import Source


class Examples:
    """Makes checked examples of the rows of a task, and counts the values that it converts.

    `labels` are those that the task gives, without white space around them.
    """

    def __init__(self, task: Task, kind: Kind) -> None:
        self.task = task
        self.kind = kind
        given = tuple(label.strip() for label in task.labels)
        self.tag_names = given if kind.name == "ner" and "O" in given else ()
        self.labels = tuple(dict.fromkeys(name[2:] for name in given if name != "O")) if self.tag_names else given
        self.converted: Counter[str] = Counter()

    @property
    def notes(self) -> list[str]:
        """The conversions, one sentence each."""
        return [f"{count:,} {what}" for what, count in self.converted.items()]

    def of(self, rows: Source, index: int) -> list[Row]:
        """The examples that row `index` holds: one, unless a converter makes none or several of it.

        Raises:
            UserError: the row is wrong; says where and why.
        """
        row = rows[index]
        try:
            return [self.kind.example(self.ready(example)) for example in self.raw(row)]
        except ValueError as error:
            raise UserError(f"{rows.place(index)}: {error}") from error
        except KeyError as error:  # of a converter
            raise UserError(
                f"{rows.place(index)}: no column {error}, which task '{self.task.name}' reads; "
                f"the row has {quoted(row)}"
            ) from error

    def raw(self, row: Row) -> Iterable[Row]:
        """The kind's columns of a row in any of the forms."""
        if self.task.convert is not None:
            return self.converted_by(self.task.convert, row)
        if self.kind.name == "ner":
            return [entity_example(row, self.task.columns) or example_of(row, self.task, self.kind)]
        if self.kind.name == "relation_extraction":
            return self.relations(row)
        return [example_of(row, self.task, self.kind)]

    def converted_by(self, convert: Callable[[Row], Iterable[Row]], row: Row) -> list[Row]:
        """What a task file's own converter makes of a row.

        Raises:
            KeyError: of the converter, which reads a column that there is not.
            ValueError: another error of the converter, or it makes something else than examples of the kind.
        """
        required, optional = self.kind.required(self.task), self.kind.optional(self.task)
        try:
            examples = list(convert(row))
        except (KeyError, ValueError):
            raise
        except Exception as error:  # a task file may raise anything
            raise ValueError(f"convert: {type(error).__name__}: {first_line(error)}") from error
        for example in examples:
            if not isinstance(example, dict):
                raise ValueError(f"convert: expected a list of examples, each a dict by column, found {example!r}")
            if missing := [column for column in required if column not in example]:
                raise ValueError(f"convert: the example has no {missing[0]!r}, which {self.kind.name} needs")
            if unknown := [column for column in example if column not in (*required, *optional)]:
                choices = suggest(str(unknown[0]), [*required, *optional])
                raise ValueError(f"convert: {self.kind.name} has no column {unknown[0]!r}: {choices}")
        return examples

    def relations(self, row: Row) -> Iterator[Row]:
        found = list(relation_examples(row, self.task.columns))
        if found:
            yield from found
        elif not isinstance(row.get("relations"), list):
            yield example_of(row, self.task, self.kind)

    def ready(self, example: Row) -> Row:
        """The example with its tags as names in IOB2."""
        if self.kind.name != "ner" or self.task.convert is not None:
            return example
        tokens, tags = _listed(example["tokens"]), _listed(example["tags"])
        if self.tag_names and isinstance(tags, (list, tuple)):
            tags = [_named(tag, self.tag_names) for tag in tags]
        if isinstance(tags, (list, tuple)):
            tags = [tag.strip() if isinstance(tag, str) else tag for tag in tags]
        if self.task.scheme and isinstance(tags, list) and all(isinstance(tag, str) for tag in tags):
            strict = to_iob2(tags, self.task.scheme)
            changed = sum(before != after for before, after in zip(tags, strict, strict=True))
            self.converted[f"tags are rewritten from {self.task.scheme} to iob2"] += changed
            tags = strict
        return {**example, "tokens": tokens, "tags": tags}


def _listed(value: object) -> object:
    """A string of words as a list of them; anything else as it is."""
    return value.split() if isinstance(value, str) else value


def _named(tag: object, names: Mapping[int, str] | tuple[str, ...]) -> object:
    number = int(tag) if isinstance(tag, str) and tag.isdecimal() else tag
    if isinstance(number, int) and not isinstance(number, bool):
        if not 0 <= number < len(names):
            raise ValueError(f"tag {number} is no number of the {len(names)} tags that `labels` names")
        return names[number]
    return tag
