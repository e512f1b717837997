"""The names of labels: their order, and mistakes that make two of one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Sequence

from ..errors import UserError
from ..words import quoted


def sorted_labels(names: Collection[str]) -> tuple[str, ...]:
    """By number where all labels are whole numbers, else by name."""
    if all(re.fullmatch(r"-?[0-9]+", name) for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def check_labels(labels: Sequence[str], given: Sequence[str]) -> None:
    """Refuses label names that are a mistake, unless the task gives them under `labels`.

    Raises:
        UserError: two names differ in case only, one is a missing value that became text, or one is given twice.
    """
    if twice := [name for name in dict.fromkeys(given) if given.count(name) > 1]:
        raise UserError(f"labels: '{twice[0]}' is listed {given.count(twice[0])} times")
    if given:
        return
    for name in labels:
        if name.casefold() in ("nan", "<na>"):
            raise UserError(
                f"'{name}' is a label: a missing value that became text; mend the data, or list all under `labels`"
            )
    for names in _alike(labels, str.casefold):
        raise UserError(f"the labels {quoted(names)} differ in case only; mend the data, or list all under `labels`")


def near_identical(labels: Sequence[str]) -> list[list[str]]:
    """Groups of labels that are the same letters and digits."""
    return _alike(labels, _plain)


def _alike(labels: Sequence[str], key: Callable[[str], str]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for name in labels:
        groups.setdefault(key(name), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def _plain(name: str) -> str:
    name = re.sub(r"^(-?\d+)\.0+$", r"\1", name)  # 1.0 for 1
    letters = [c for c in unicodedata.normalize("NFKC", name).casefold() if c.isalnum()]
    return "".join(letters) or name
