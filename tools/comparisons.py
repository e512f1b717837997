"""The comparisons of the leaderboard: the folders of `results/`. The site's pages import it without the harness."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """One folder of `results/`.

    Args:
        folder: its name, and that of its page on the site.
        title: in a heading.
        short: above a column.
        words: what it compares.
    """

    folder: str
    title: str
    short: str
    words: str


COMPARISONS = (
    Comparison(
        "encoder",
        "Encoder, default sizes",
        "default size",
        "Each method at its default size on a small encoder.",
    ),
    Comparison(
        "encoder-half-percent",
        "Encoder, 0.5 % of the base",
        "0.5 % of the base",
        "The bottlenecks and LoRA with as many trained parameters as 0.5 % of the base, task heads apart.",
    ),
    Comparison(
        "encoder-two-percent",
        "Encoder, 2 % of the base",
        "2 % of the base",
        "The bottlenecks and LoRA with as many trained parameters as 2 % of the base, task heads apart.",
    ),
    Comparison(
        "decoder",
        "Decoder, default sizes",
        "default size",
        "Each method at its default size on a small decoder.",
    ),
)
