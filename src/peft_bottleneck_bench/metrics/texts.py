"""The base class of metrics of texts, with one reference per example or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import datasets

from .base import Answers, Metric, MetricTypes


class TextMetric(Metric):
    """One predicted text per example, and one reference or a list of them."""

    types: ClassVar[MetricTypes] = (
        (datasets.Value("string"), datasets.Value("string")),
        (datasets.List(datasets.Value("string")), datasets.Value("string")),
    )

    def compute(self, *, references: Answers, predictions: Answers) -> dict[str, float]:
        """All scores by name.

        Raises:
            ValueError: the input is not what the metric takes; names what and where.
        """
        self.check(references, predictions)
        if any(not isinstance(reference, str) for reference in references):
            references = [all_of(reference) for reference in references]
        return super().compute(references=references, predictions=predictions)

    empty_reference: ClassVar[bool] = False
    """Whether a reference may be empty: the question has no answer."""

    def problem(self, value: object, *, reference: bool = False) -> str | None:
        if isinstance(value, str):
            lacking = reference and not value and not self.empty_reference
            return "it is empty; exact_match and f1 take questions without an answer" if lacking else None
        if not reference:
            return "expected text"
        sound = isinstance(value, (list, tuple)) and value and all(isinstance(text, str) for text in value)
        return None if sound else "expected text, or a list of texts"


def all_of(reference: str | Sequence[str]) -> list[str]:
    """The references of one example."""
    return [reference] if isinstance(reference, str) else list(reference)


def streams(references: Sequence[str | Sequence[str]]) -> list[list[str | None]]:
    """As many lists as an example has references at most, with None where an example has fewer: sacreBLEU's form."""
    listed = [all_of(reference) for reference in references]
    return [
        [texts[number] if number < len(texts) else None for texts in listed] for number in range(max(map(len, listed)))
    ]
