"""The types of a record's fields: each checks a value, turns it into JSON and back, and names its `datasets` type."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any


class Type:
    """One field's type. A nullable one also allows `None`."""

    #: The Python types allowed, and what an error calls them.
    python: tuple[type, ...]
    words: str
    arrow: str

    def __init__(self, *, nullable: bool = False) -> None:
        self.nullable = nullable

    def check(self, value: Any, where: str) -> None:
        """Raises ValueError, naming `where` and the value, unless `value` is of this type."""
        if value is None and self.nullable:
            return
        # bool is an int to Python, but True is neither a count nor a score.
        if not isinstance(value, self.python) or (isinstance(value, bool) and bool not in self.python):
            null = " or None" if self.nullable else ""
            raise ValueError(f"{where} is {value!r}: expected {self.words}{null}")
        self.check_content(value, where)

    def check_content(self, value: Any, where: str) -> None:
        """Raises ValueError unless the content of `value`, which has the right Python type, is right too."""

    def encode(self, value: Any) -> Any:
        """`value` as it stands in the file."""
        return value

    def decode(self, value: Any) -> Any:
        """`value` as it stands in memory."""
        return value

    def feature(self, values: Sequence[Any]) -> Any:
        """The `datasets` feature that holds every one of the encoded `values`."""
        import datasets

        return datasets.Value(self.arrow)


class Text(Type):
    """Text, from `choices` if there are any."""

    python, words, arrow = (str,), "text", "string"

    def __init__(self, *, choices: Sequence[str] = (), nullable: bool = False) -> None:
        super().__init__(nullable=nullable)
        self.choices = choices

    def check_content(self, value: str, where: str) -> None:
        if self.choices and value not in self.choices:
            raise ValueError(f"{where} is '{value}': choose from {', '.join(self.choices)}")


class Time(Text):
    """A moment in UTC, to the second: `2026-01-31T12:00:00Z`."""

    FORMAT = "%Y-%m-%dT%H:%M:%SZ"

    def check_content(self, value: str, where: str) -> None:
        try:
            datetime.strptime(value, self.FORMAT)
        except ValueError:
            raise ValueError(f"{where} is '{value}': expected UTC as in 2026-01-31T12:00:00Z") from None


class Boolean(Type):
    python, words, arrow = (bool,), "true or false", "bool"


class Integer(Type):
    python, words, arrow = (int,), "a whole number", "int64"


class Number(Type):
    """A finite number: JSON has no NaN, and a leaderboard has no place for one."""

    python, words, arrow = (int, float), "a number", "float64"

    def check_content(self, value: float, where: str) -> None:
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value}: expected a finite number")

    def encode(self, value: float | None) -> float | None:
        return None if value is None else float(value)


class Point(Type):
    """A point of a curve: `[step, value]`."""

    python, words = (list, tuple), "a pair [step, value]"

    def check_content(self, value: Sequence[Any], where: str) -> None:
        if len(value) != 2:
            raise ValueError(f"{where} is {value!r}: expected {self.words}")
        for number in value:
            Number().check(number, where)

    def encode(self, value: Sequence[float]) -> list[float]:
        return list(value)

    def feature(self, values: Sequence[Any]) -> Any:
        import datasets

        return datasets.List(datasets.Value("float64"))


class Rows(Type):
    """A list of values of one type."""

    python, words = (list, tuple), "a list"

    def __init__(self, row: Type) -> None:
        super().__init__()
        self.row = row

    def check_content(self, value: Sequence[Any], where: str) -> None:
        for number, row in enumerate(value):
            self.row.check(row, f"{where}[{number}]")

    def encode(self, value: Sequence[Any]) -> list[Any]:
        return [self.row.encode(row) for row in value]

    def feature(self, values: Sequence[Any]) -> Any:
        import datasets

        return datasets.List(self.row.feature([row for rows in values for row in rows]))


class Struct(Type):
    """A mapping with fixed keys, each with its own type."""

    python, words = (Mapping,), "a mapping"

    def __init__(self, **fields: Type) -> None:
        super().__init__()
        self.fields = fields

    def check_content(self, value: Mapping[str, Any], where: str) -> None:
        if value.keys() != self.fields.keys():
            raise ValueError(f"{where} has the keys {', '.join(value)}: expected {', '.join(self.fields)}")
        for name, type_ in self.fields.items():
            type_.check(value[name], f"{where}.{name}")

    def encode(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return {name: type_.encode(value[name]) for name, type_ in self.fields.items()}

    def decode(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {name: self.fields[name].decode(v) if name in self.fields else v for name, v in value.items()}

    def feature(self, values: Sequence[Any]) -> Any:
        return {name: type_.feature([v[name] for v in values]) for name, type_ in self.fields.items()}


class Map(Type):
    """A mapping from free names to values of one type."""

    python, words = (Mapping,), "a mapping"

    def __init__(self, item: Type) -> None:
        super().__init__()
        self.item = item

    def check_content(self, value: Mapping[str, Any], where: str) -> None:
        for name, item in value.items():
            Text().check(name, f"{where}: a name")
            self.item.check(item, f"{where}.{name}")

    def encode(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self.item.encode(item) for name, item in value.items()}

    def feature(self, values: Sequence[Any]) -> Any:
        names = sorted({name for mapping in values for name in mapping})
        return {name: self.item.feature([m[name] for m in values if name in m]) for name in names}


class Json(Type):
    """A mapping of any shape, which stands in the file as JSON text because Arrow has no type for it."""

    python, words, arrow = (Mapping,), "a mapping", "string"

    def check_content(self, value: Mapping[str, Any], where: str) -> None:
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: cannot stand in JSON: {error}") from error

    def encode(self, value: Mapping[str, Any]) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)

    def decode(self, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value
