"""What people read on a terminal."""

from __future__ import annotations

import pytest

from peft_bottleneck_bench.terminal import duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (99.9, "99.9 s"),
        (99.96, "100 s"),
        (150, "150 s"),
        (999.9, "1000 s"),
        (1000, "17 min"),
        (3540, "59 min"),
        (3570, "1 h 00 min"),
        (12300, "3 h 25 min"),
    ],
)
def test_durations_are_for_people(seconds: float, words: str) -> None:
    assert duration(seconds) == words
