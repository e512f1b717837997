"""Figures as people read them."""

from __future__ import annotations

import pytest

from peft_bottleneck_bench.boards import formatting as show


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (show.score(0.91268), "0.9127"),
        (show.score(27.4123), "27.41"),
        (show.score(-0.5), "-0.5000"),
        (show.spread(0.91268, 0.00421), "0.9127 ± 0.0042"),
        (show.spread(27.4, 0.5), "27.40 ± 0.50"),
        (show.spread(0.5, None), "0.5000"),
        (show.interval((0.25, 0.75)), "0.2500 to 0.7500"),
        (show.ranks((1, 3)), "1–3"),
        (show.ranks((2, 2)), "2"),
        (show.count(294_912), "294,912"),
        (show.short_count(1_538), "1.5 k"),
        (show.short_count(294_912), "295 k"),
        (show.short_count(22_713_216), "22.7 M"),
        (show.short_count(0), "0"),
        (show.share(1, 80), "1.25 %"),
        (show.seconds(4.23), "4.2 s"),
        (show.seconds(99.97), "100 s"),
        (show.seconds(213.4), "213 s"),
        (show.seconds(2520), "42 min"),
        (show.seconds(7500), "2 h 05 min"),
        (show.milliseconds(0.00421), "4.21 ms"),
        (show.milliseconds(0.009998), "10.0 ms"),
        (show.milliseconds(0.09996), "100 ms"),
        (show.size(999), "999 B"),
        (show.size(999_700), "1.0 MB"),
        (show.size(1_200_000), "1.2 MB"),
        (show.size(612_000), "612 kB"),
    ],
)
def test_figures(text: str, expected: str) -> None:
    assert text == expected


def test_what_is_unknown_is_a_dash() -> None:
    functions = (show.score, show.interval, show.ranks, show.count, show.short_count, show.seconds, show.size)
    assert {function(None) for function in functions} == {"–"}
    assert show.spread(None, None) == show.share(None, 1) == show.share(1, None) == "–"
