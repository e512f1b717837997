"""The `search` of a run configuration, and that of an entry of `methods`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import UserError, suggest
from ..models.methods import METHODS, method_named
from ..models.options import check_method, method_options
from .findings import LARGEST_SEED, MOST_RUNS, Findings
from .search_space import PRUNERS, SAMPLERS, Budget, Dimension, Range, Space, different_settings
from .training_checks import check_training
from .training_options import SCORE_NEUTRAL

if TYPE_CHECKING:
    from .choices import MethodChoice

SEARCH_DEFAULTS: dict[str, Any] = {
    "trials": None,  # of every method; or
    "steps": None,  # optimiser steps of all trials of a method together: one of both has to be given
    "seed": 1000,  # not among the usual `seeds`: the luck of one of them must not choose the winner
    "space": {},
    "sampler": SAMPLERS[0],
    "pruner": PRUNERS[0],
}
MOST_STEPS = 10**9
RANGE_KEYS = ("low", "high", "log")


def read_search(content: Any, methods: Sequence[MethodChoice], findings: Findings) -> Budget | None:
    """The search that `content` asks for, if any; errors in it, or in that of a method, go to `findings`."""
    if content is None:
        for method in methods:
            if method.space:
                findings.wrong(
                    f"method '{method.label}': search: how many trials? give search.trials or search.steps, for all "
                    "methods"
                )
        return None
    if not findings.typed("search", content, dict, "{trials: 8, space: {learning_rate: [1e-4, 1e-3]}}"):
        return None
    before = len(findings.errors)
    findings.keys(content, tuple(SEARCH_DEFAULTS), "search.")
    content = {**SEARCH_DEFAULTS, **content}
    findings.whole("search.seed", content["seed"], 0, LARGEST_SEED)
    if (content["trials"] is None) == (content["steps"] is None):
        findings.wrong("search: expected trials or steps, the same number for all methods, and not both")
    elif content["trials"] is not None:
        findings.whole("search.trials", content["trials"], 1, MOST_RUNS)
    else:
        findings.whole("search.steps", content["steps"], 1, MOST_STEPS)
    if content["sampler"] not in SAMPLERS:
        findings.wrong(f"search.sampler: expected {' or '.join(SAMPLERS)}, found {content['sampler']!r}")
    if content["pruner"] not in PRUNERS:
        findings.wrong(f"search.pruner: expected {' or '.join(PRUNERS)}, found {content['pruner']!r}")
    space = read_space(content["space"], "search.space", findings)
    if len(findings.errors) > before:
        return None
    budget = Budget(
        trials=content["trials"] or 0,
        steps=content["steps"] or 0,
        seed=content["seed"],
        space=space,
        sampler=content["sampler"],
        pruner=content["pruner"],
    )
    for method in methods:
        for message in _undrawable(budget, method):
            findings.wrong(f"method '{method.label}': search: {message}")
    return budget


def _undrawable(budget: Budget, method: MethodChoice) -> Iterator[str]:
    """Why `method` cannot have its trials: all methods that train get the same number, each with other settings."""
    if not method_named(method.name).trains:
        return
    space = budget.space_of(method.name, method.space)
    if not space:
        yield "nothing to try: give search.space, or a `search:` in its own entry"
        return
    for name in space:
        if name in method.options or name in method.training:
            yield f"'{name}' has a value in its entry and is searched: leave one of them out"
    different = different_settings(space)
    if different is not None and different < budget.trials:  # with a budget of steps, the length of a trial decides
        yield (f"{budget.trials} trials find only {different} different settings: give more choices, or fewer trials")


def read_space(content: Any, key: str, findings: Findings, method: str | None = None) -> Space:
    """The space in `content`, found at `key`: training fields, and options of `method` if it is one method's.

    Adds what is wrong to `findings`.
    """
    if not findings.typed(key, content, dict, "fields and what to try: {learning_rate: [1e-4, 1e-3]}"):
        return {}
    options = method_options(method) if method else {}
    space = {}
    for name, entry in content.items():
        if (dimension := _read_dimension(entry, f"{key}.{name}", findings)) is None:
            continue
        ends = dimension if isinstance(dimension, tuple) else (dimension.low, dimension.high)
        for value in ends:
            for message in _refused(str(name), value, method, options):
                findings.wrong(f"{key}.{message}")
        space[str(name)] = dimension
    return space


def _refused(name: str, value: object, method: str | None, options: Mapping[str, object]) -> list[str]:
    """Why `value` cannot be tried for the field or option `name`."""
    if method and name in options:
        if type(options[name]) is int and isinstance(value, float):
            return [f"{name}: expected whole numbers, found {value!r}"]
        try:
            check_method(method, {name: value})
        except UserError as error:
            return [f"{name}: {message}" for message in error.messages]
        return []
    if name in SCORE_NEUTRAL:
        return [f"{name}: does not change the score: there is nothing to choose"]
    messages = check_training({name: value})
    if messages and ": unknown field" in messages[0]:
        if method and (hint := suggest(name, options)).startswith("did you mean"):
            return [f"{name}: unknown option: {hint}"]
        if owner := next((other for other in METHODS if not method and name in method_options(other)), None):
            return [
                f"{name}: a method's options are searched in its own entry: {{method: {owner}, search: {{{name}: …}}}}"
            ]
    return messages


def _read_dimension(entry: object, key: str, findings: Findings) -> Dimension | None:
    if isinstance(entry, list) and entry:
        repeated = [value for value in entry if entry.count(value) > 1]
        if repeated:
            findings.wrong(f"{key}: {repeated[0]!r} occurs twice")
        return tuple(entry)
    if not isinstance(entry, dict) or not {"low", "high"} <= entry.keys():
        findings.wrong(f"{key}: expected a list of choices or {{low: …, high: …, log: true}}, found {entry!r}")
        return None
    before = len(findings.errors)
    findings.keys(entry, RANGE_KEYS, f"{key}.")
    for name in ("low", "high"):
        if isinstance(entry[name], bool) or not isinstance(entry[name], (int, float)):
            findings.wrong(f"{key}.{name}: expected a number, found {entry[name]!r}")
    findings.typed(f"{key}.log", entry.get("log", False), bool, "true or false")
    if len(findings.errors) > before:
        return None
    low, high, log = entry["low"], entry["high"], entry.get("log", False)
    if not low < high:
        findings.wrong(f"{key}: low {low} is not below high {high}")
        return None
    if log and not low > 0:
        findings.wrong(f"{key}: low {low} is not above 0, and has no logarithm")
        return None
    return Range(low, high, log)
