"""What the trials of a search try."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from peft_bottleneck_bench.configuration.search_space import Budget, Range, Space, different_settings, written
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.grid.suggestions import Result, suggestions

pytest.importorskip("optuna")


def tried(space: Space, trials: int, *, seed: int = 0, scores: Any = (), sampler: str = "quasi_random") -> Any:
    """The settings of `trials` trials; of `tpe` those that follow from the results of the first ones."""
    known = min(trials, len(scores) + 1) if sampler == "tpe" else trials
    results = [score if isinstance(score, Result) else Result(score) for score in scores]
    return suggestions(
        space, Budget(trials=trials, seed=seed, space={}, sampler=sampler), results, known, startup=trials // 3
    )


def test_as_many_trials_as_combinations_try_each_once() -> None:
    every = [{"a": a, "b": b} for a, b in product((1, 2, 3), "xy")]
    found = tried({"a": (1, 2, 3), "b": ("x", "y")}, 6)
    assert sorted(found, key=str) == sorted(every, key=str)


def test_more_trials_begin_with_the_same_ones() -> None:
    space = {"a": tuple(range(9)), "rate": Range(1e-4, 1.0, log=True)}
    assert tried(space, 8)[:4] == tried(space, 4)


def test_the_seed_decides_what_is_tried() -> None:
    space = {"r": tuple(range(100)), "learning_rate": Range(1e-5, 1e-1, log=True)}
    assert tried(space, 5, seed=1) == tried(space, 5, seed=1)
    assert tried(space, 5, seed=1) != tried(space, 5, seed=2)


def test_each_trial_has_a_slice_of_a_range_of_its_own() -> None:
    """The first 2^n points of a Sobol sequence have one in each of 2^n slices of every dimension."""
    found = tried({"rate": Range(1e-4, 1.0, log=True), "decay": Range(0.0, 1.0)}, 8)
    assert sorted(math.floor((math.log10(setting["rate"]) + 4) / 4 * 8) for setting in found) == list(range(8))
    assert sorted(math.floor(setting["decay"] * 8) for setting in found) == list(range(8))


def test_a_range_of_whole_numbers_gives_whole_numbers_to_both_ends() -> None:
    found = [setting["r"] for setting in tried({"r": Range(3, 6)}, 4)]
    assert sorted(found) == [3, 4, 5, 6]
    assert {type(number) for number in found} == {int}


def test_beside_a_range_choices_are_tried_equally_often() -> None:
    found = tried({"decay": (0, 0.1), "rate": Range(0.0, 1.0)}, 8)
    assert [setting["decay"] for setting in found].count(0) == 4


def test_tpe_knows_one_setting_more_than_it_has_scores_and_follows_them() -> None:
    space = {"rate": Range(0.0, 1.0)}
    scores: list[float | None] = []
    for number in range(20):
        found = tried(space, 20, scores=scores, sampler="tpe")
        assert len(found) == number + 1
        scores.append(None if number == 3 else -abs(found[-1]["rate"] - 0.95))  # best at 0.95; one trial failed
    assert found == tried(space, 20, scores=scores[:-1], sampler="tpe")  # the records alone decide
    late = [abs(setting["rate"] - 0.95) for setting in found[12:]]
    early = [abs(setting["rate"] - 0.95) for setting in found[:6]]
    assert sum(late) / len(late) < sum(early) / len(early)


def test_tpe_learns_from_pruned_trials_by_their_last_scores() -> None:
    """All are pruned at one step: where their scores rise with the rate, rates do too. Failed ones say nothing."""
    space = {"rate": Range(0.0, 1.0)}

    def follow(result: Callable[[float], Result]) -> list[float]:
        results: list[Result] = []
        for _ in range(24):
            rate = tried(space, 24, scores=results, sampler="tpe")[-1]["rate"]
            results.append(result(rate))
        return [setting["rate"] for setting in tried(space, 24, scores=results, sampler="tpe")][12:]

    rising = follow(lambda rate: Result(None, ((4, 0.0), (8, rate))))
    falling = follow(lambda rate: Result(None, ((4, 0.0), (8, -rate))))
    failed = follow(lambda rate: Result(None))
    assert sum(rising) / len(rising) > 0.75
    assert sum(falling) / len(falling) < 0.25
    assert max(failed) - min(failed) > 0.5


def test_no_more_settings_than_a_space_has() -> None:
    space = {"a": (1, 2, 3), "b": ("x", "y")}
    assert len(tried(space, 20)) == 6
    assert len(tried(space, 20, scores=[0.0] * 9, sampler="tpe")) == 6


@pytest.mark.parametrize(
    ("space", "count"),
    [
        ({"r": (4, 8)}, 2),
        ({"r": Range(4, 5), "b": ("x", "y", "z")}, 6),
        ({"r": (4, 8), "rate": Range(0.0, 1.0)}, None),
        ({str(number): tuple(range(10)) for number in range(20)}, 10**20),
    ],
)
def test_the_number_of_different_settings(space: Space, count: int | None) -> None:
    assert different_settings(space) == count
    assert len(tried(space, 2)) == 2


def test_without_optuna_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match="search: Optuna is not installed: pip install optuna"):
        tried({"r": (4, 8)}, 2)


def test_a_space_is_written_as_a_configuration_has_it() -> None:
    space = {"r": (4, 8), "learning_rate": Range(1e-4, 1e-2, log=True)}
    assert written(space) == {"r": [4, 8], "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
