"""The `search` of a run configuration: what is read, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.configuration.search_space import Range
from peft_bottleneck_bench.errors import UserError

Configure = Callable[..., Path]


def messages(path: Path, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(UserError) as error:
        load_configuration(path, overrides)
    return error.value.messages


def test_a_search_is_read(configure: Configure) -> None:
    path = configure(
        methods=["head_only", {"method": "lora", "search": {"r": [4, 8], "weight_decay": [0]}}],
        search={
            "trials": 2,
            "space": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "weight_decay": [0, 0.1]},
        },
    )
    configuration = load_configuration(path)
    budget = configuration.search
    assert budget is not None
    assert (budget.trials, budget.seed) == (2, 1000)
    head_only, lora = configuration.methods
    rate = Range(1e-4, 1e-2, log=True)
    assert budget.space_of("head_only", head_only.space) == {"learning_rate": rate, "weight_decay": (0, 0.1)}
    assert budget.space_of("lora", lora.space) == {"learning_rate": rate, "weight_decay": (0,), "r": (4, 8)}
    assert budget.space_of("untuned", {}) == {}


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ([], "search: expected {trials: 8, space: {learning_rate: [1e-4, 1e-3]}}, found []"),
        ({"trails": 2}, "unknown key 'search.trails': did you mean 'search.trials'?"),
        ({"trials": 0}, "search.trials: 0 is not from 1 to 10,000"),
        ({"trials": True}, "search.trials: expected a whole number, found True"),
        ({"seed": 1}, "search: expected trials or steps, the same number for all methods, and not both"),
        ({"trials": 2, "steps": 9}, "search: expected trials or steps, the same number for all methods, and not both"),
        ({"steps": 0}, "search.steps: 0 is not from 1 to 1,000,000,000"),
        ({"steps": 0.5}, "search.steps: expected a whole number, found 0.5"),
        ({"trials": 2}, "method 'lora': search: nothing to try: give search.space, or a `search:` in its own entry"),
        (
            {"trials": 2, "space": {"learning_rat": [1]}},
            "search.space.learning_rat: unknown field: did you mean 'learning_rate'?",
        ),
        (
            {"trials": 2, "space": {"r": [4, 8]}},
            "search.space.r: a method's options are searched in its own entry: {method: lora, search: {r: …}}",
        ),
        (
            {"trials": 2, "space": {"learning_rate": ["fast"]}},
            "search.space.learning_rate: expected a number, found 'fast'",
        ),
        ({"trials": 2, "space": {"seed": [1, 2]}}, "search.space.seed: is set by the harness: use `seeds`"),
        (
            {"trials": 2, "space": {"logging_steps": [1, 2]}},
            "search.space.logging_steps: does not change the score: there is nothing to choose",
        ),
        (
            {"trials": 2, "space": {"learning_rate": 0.1}},
            "search.space.learning_rate: expected a list of choices or {low: …, high: …, log: true}, found 0.1",
        ),
        (
            {"trials": 2, "space": {"learning_rate": {"low": 1e-4, "high": 1e-2, "logg": True}}},
            "unknown key 'search.space.learning_rate.logg': did you mean 'search.space.learning_rate.log'?",
        ),
        (
            {"trials": 2, "space": {"learning_rate": {"low": "a", "high": 1}}},
            "search.space.learning_rate.low: expected a number, found 'a'",
        ),
        (
            {"trials": 2, "space": {"learning_rate": {"low": 2, "high": 1}}},
            "search.space.learning_rate: low 2 is not below high 1",
        ),
        (
            {"trials": 2, "space": {"weight_decay": {"low": 0, "high": 1.0, "log": True}}},
            "search.space.weight_decay: low 0 is not above 0, and has no logarithm",
        ),
        (
            {"trials": 2, "space": {"learning_rate": [1e-3, 1e-3]}},
            "search.space.learning_rate: 0.001 occurs twice",
        ),
        (
            {"trials": 3, "space": {"learning_rate": [1e-3, 1e-4]}},
            "method 'lora': search: 3 trials find only 2 different settings: give more choices, or fewer trials",
        ),
    ],
)
def test_a_wrong_search_is_told(configure: Configure, search: Any, message: str) -> None:
    path = configure(methods=["lora"], search=search)
    assert message in [text.removeprefix(f"{path}: ") for text in messages(path)]


@pytest.mark.parametrize(
    ("entry", "search", "message"),
    [
        ({"search": {"rr": [1]}}, {"trials": 1}, "methods: lora: search.rr: unknown option: did you mean 'r'?"),
        (
            {"search": {"r": {"low": 2.0, "high": 8}}},
            {"trials": 1},
            "methods: lora: search.r: expected whole numbers, found 2.0",
        ),
        (
            {"method": "pfeiffer", "search": {"dropout": [0.1, 2]}},
            {"trials": 2},
            "methods: pfeiffer: search.dropout: method 'pfeiffer': "
            "PfeifferConfig: dropout must be a number in [0, 1), got 2",
        ),
        (
            {"r": 4, "label": "lora", "search": {"r": [4, 8]}},
            {"trials": 2},
            "method 'lora': search: 'r' has a value in its entry and is searched: leave one of them out",
        ),
        (
            {"training": {"learning_rate": 1e-3}},
            {"trials": 1, "space": {"learning_rate": [1e-3, 1e-4]}},
            "method 'lora': search: 'learning_rate' has a value in its entry and is searched: leave one of them out",
        ),
        (
            {"search": {"r": [4, 8]}},
            None,
            "method 'lora': search: how many trials? give search.trials or search.steps, for all methods",
        ),
    ],
)
def test_a_wrong_search_of_a_method_is_told(
    configure: Configure, entry: dict[str, Any], search: Any, message: str
) -> None:
    path = configure(methods=[{"method": "lora", **entry}], search=search)
    assert messages(path) == (f"{path}: {message}",)
