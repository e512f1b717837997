"""The errors of a configuration, gathered so that a user reads all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from ..errors import UserError, suggest
from ..file_names import file_name_problem

LARGEST_SEED = 2**32 - 1  # of NumPy
MOST_RUNS = 10_000  # of one grid, trials included


class Findings:
    """Gathers errors, each of which begins with `where`: the file, or what else was read."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.errors: list[UserError] = []

    def wrong(self, message: str) -> None:
        self.errors.append(UserError(f"{self.where}: {message}"))

    def keys(
        self,
        mapping: Mapping[Any, object],
        known: Sequence[str],
        prefix: str,
        place: Callable[[str], str] = lambda _: "",
    ) -> None:
        """Every key of `mapping`, whose own key is `prefix`, must be in `known`; `place` says where others belong."""
        for key in mapping:
            if key not in known:
                self.wrong(f"unknown key '{prefix}{key}': {place(str(key)) or suggest(str(key), known, prefix)}")

    def typed(self, key: str, value: object, type_: type, words: str) -> bool:
        """Whether `value` is a `type_`; a boolean is no number."""
        fits = isinstance(value, type_) and not (type_ is int and isinstance(value, bool))
        if not fits:
            self.wrong(f"{key}: expected {words}, found {value!r}")
        return fits

    def whole(self, key: str, value: object, least: int, most: int) -> bool:
        """Whether `value` is a whole number from `least` to `most`."""
        if not self.typed(key, value, int, "a whole number"):
            return False
        assert isinstance(value, int)
        if not least <= value <= most:
            self.wrong(f"{key}: {value} is not from {least} to {most:,}")
        return least <= value <= most

    def label(self, key: str, label: object) -> bool:
        """Whether `label` is text that can name a folder."""
        if not self.typed(key, label, str, "text"):
            return False
        assert isinstance(label, str)
        if problem := file_name_problem(label):
            self.wrong(f"{key}: '{label}' names a folder of records, and {problem}")
        return not problem


def as_list(value: Any) -> list[Any]:
    """`value` as a list: a single value needs no brackets, and None is an empty list."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def found(value: str, folder: Path) -> str:
    """The path or glob pattern `value` from the working directory, or in `folder` where it is only there."""
    here, beside = Path(value).expanduser(), folder / value
    if has_magic(value):
        there = not Path(value).is_absolute() and any(folder.glob(value))
        missing = not any(glob(str(here), recursive=True))
    else:
        there, missing = beside.exists(), not here.exists()
    return str(beside if missing and there else here)
