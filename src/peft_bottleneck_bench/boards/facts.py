"""What the records of a board say of its runs together: budget, search, data, machines, packages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import JsonValue

from ..records import Record

Methods = Mapping[str, Mapping[Path, Record]]


def facts(methods: Methods, *, ranked: bool) -> list[str]:
    """What a reader of the board must know, one sentence each.

    Args:
        methods: the runs of each row, by the method's name on the board.
        ranked: whether the board ranks its methods.
    """
    return list(_facts(methods, [record for runs in methods.values() for record in runs.values()], ranked))


def _facts(methods: Methods, runs: list[Record], ranked: bool) -> Iterator[str]:
    if ranked and len({record.seed for record in runs}) == 1:
        yield "One seed per method: another training run may order them otherwise."
    yield from _budget(methods)
    yield from _search(methods)
    yield from dict.fromkeys(f"Data: {note}" for record in runs for note in record.data.notes)
    if len({record.hardware for record in runs}) > 1:
        yield "Times and memory were taken on different machines; compare them with care."
    versions: dict[str, set[str]] = defaultdict(set)
    for record in runs:
        for package, version in record.versions.items():
            versions[package].add(version)
    if mixed := [f"{name} {' and '.join(sorted(found))}" for name, found in versions.items() if len(found) > 1]:
        yield f"The runs used different package versions ({', '.join(mixed)}), which may change scores."


def _budget(methods: Methods) -> Iterator[str]:
    """The common budget of the methods that have one."""
    found = {name: part for name, runs in methods.items() if (part := _part(runs, "budget"))}
    asked = {part.get("asked") for part in found.values()}
    if len(asked) != 1:
        return
    (parameters,) = asked
    others = [name for name in methods if name not in found or not found[name].get("met")]
    apart = f" Not at the budget: {', '.join(others)}." if others else ""
    yield f"Equal budgets: {parameters:,} trained parameters for each method, task heads apart.{apart}"


def _search(methods: Methods) -> Iterator[str]:
    """How many trials each method had, and the settings that were found."""
    chosen: dict[str, list[str]] = defaultdict(list)
    for name, runs in methods.items():
        search, training, options = (_part(runs, part) for part in ("search", "training", "options"))
        space = search.get("space")
        if isinstance(space, dict):
            settings = {**training, **options}
            words = " and ".join(f"{key} {settings.get(key)}" for key in space)
            chosen[f"{search.get('trials')} trials"].append(f"{name} {words}")
    for trials, settings_found in chosen.items():
        yield f"Settings: the best on validation of {trials} for each method ({'; '.join(settings_found)})."


def _part(runs: Mapping[Path, Record], name: str) -> dict[str, JsonValue]:
    """A part of the configuration of a method's runs; empty where they have none."""
    found = next(iter(runs.values())).configuration.get(name)
    return found if isinstance(found, dict) else {}
