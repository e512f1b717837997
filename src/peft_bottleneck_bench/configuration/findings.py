"""What is wrong with a configuration, gathered so that all of it is told at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import UserError, suggest


class Findings:
    """Gathers errors, each of which says that it stands in `where`."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.errors: list[UserError] = []

    def wrong(self, message: str) -> None:
        self.errors.append(UserError(f"{self.where}: {message}"))

    def keys(self, mapping: Mapping[Any, Any], known: Sequence[str], prefix: str) -> None:
        """Every key of `mapping`, which stands at `prefix`, must be in `known`."""
        for key in mapping:
            if key not in known:
                self.wrong(f"unknown key '{prefix}{key}': {suggest(str(key), known, prefix)}")

    def typed(self, key: str, value: Any, type_: type, words: str) -> bool:
        """Whether `value` is a `type_`; a boolean is no number."""
        fits = isinstance(value, type_) and not (type_ is int and isinstance(value, bool))
        if not fits:
            self.wrong(f"{key}: expected {words}, found {value!r}")
        return fits


def as_list(value: Any) -> list[Any]:
    """`value` as a list: one thing needs no brackets, and nothing is an empty list."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def slug(value: Any) -> str:
    """`value` as a part of a file name."""
    return re.sub(r"[^\w.+-]+", "_", str(value))
