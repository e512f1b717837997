"""What a search draws from its space."""

from __future__ import annotations

import math
from itertools import product

import pytest

from peft_bottleneck_bench.configuration.search_space import Range, draw, written


def test_as_many_trials_as_choices_try_each_once_and_in_order() -> None:
    rates = (1e-4, 3e-4, 1e-3, 3e-3)
    assert draw({"learning_rate": rates}, 4, seed=0) == [{"learning_rate": rate} for rate in rates]


def test_combinations_are_drawn_without_repetition() -> None:
    space = {"a": (1, 2, 3), "b": ("x", "y")}
    every = [{"a": a, "b": b} for a, b in product((1, 2, 3), "xy")]
    assert draw(space, 6, seed=3) == every
    four = draw(space, 4, seed=3)
    assert all(setting in every for setting in four)
    assert len({tuple(setting.items()) for setting in four}) == 4


def test_more_trials_try_the_same_ones_and_others() -> None:
    space = {"a": tuple(range(9)), "b": tuple(range(9))}
    few, more = (draw(space, trials, seed=0) for trials in (4, 8))
    assert all(setting in more for setting in few)


def test_the_seed_decides_the_drawing() -> None:
    space = {"r": tuple(range(100)), "learning_rate": Range(1e-5, 1e-1, log=True)}
    assert draw(space, 5, seed=1) == draw(space, 5, seed=1)
    assert draw(space, 5, seed=1) != draw(space, 5, seed=2)


def test_each_trial_has_a_slice_of_a_range_of_its_own() -> None:
    drawn = [setting["rate"] for setting in draw({"rate": Range(1e-4, 1.0, log=True)}, 8, seed=0)]
    slices = sorted(math.floor((math.log10(rate) + 4) / 4 * 8) for rate in drawn)
    assert slices == list(range(8))
    assert drawn != sorted(drawn)  # else a second range would rise along with it


def test_a_range_of_whole_numbers_gives_whole_numbers_to_both_ends() -> None:
    drawn = [setting["r"] for setting in draw({"r": Range(3, 6)}, 4, seed=0)]
    assert sorted(drawn) == [3, 4, 5, 6]
    assert {type(number) for number in drawn} == {int}
    assert (Range(2, 64, log=True).at(0.0), Range(2, 64, log=True).at(1.0)) == (2, 64)


def test_beside_a_range_choices_are_tried_equally_often() -> None:
    drawn = draw({"decay": (0, 0.1), "rate": Range(0.0, 1.0)}, 6, seed=0)
    assert [setting["decay"] for setting in drawn].count(0) == 3


@pytest.mark.parametrize("space", [{"r": (4, 8)}, {"r": Range(4, 5)}])
def test_too_few_settings_are_refused(space: dict[str, tuple[int, ...] | Range]) -> None:
    with pytest.raises(
        ValueError, match="3 trials find only 2 different settings: give more choices, or fewer trials"
    ):
        draw(space, 3, seed=0)


def test_a_space_of_many_combinations_is_not_listed() -> None:
    space = {str(number): tuple(range(10)) for number in range(20)}
    assert len(draw(space, 3, seed=0)) == 3


def test_a_space_is_recorded_as_it_was_written() -> None:
    assert written({"r": (4, 8), "rate": Range(0.1, 1.0)}) == {
        "r": [4, 8],
        "rate": {"low": 0.1, "high": 1.0, "log": False},
    }
