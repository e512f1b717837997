"""Whether a written answer is the right one: as a whole, by its words, its last number or its choice."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

from ..errors import UserError
from .base import Answers, FloatArray, Score, safe_divide
from .texts import TextMetric, all_of
from .words import with_spaces

_NUMBER = re.compile(r"(?:(?<!\w)[-+−])?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)")  # no sign inside "3-4"


class MeanMetric(TextMetric):
    """The mean over examples of a value in [0, 1]; of several references the best counts."""

    def value(self, score: str, reference: str, prediction: str) -> float:
        """The score called `score` of one prediction against one reference."""
        raise NotImplementedError

    def _compute(self, references: Sequence[object], predictions: Sequence[object]) -> dict[str, float]:
        return {score.name: float(self._values(score.name, references, predictions).mean()) for score in self.scores}

    def statistics(self, references: Sequence[object], predictions: Sequence[object]) -> FloatArray:
        """The example's value, and 1."""
        self.check(references, predictions)
        values = self._values(self.main, references, predictions)
        return np.stack([values, np.ones_like(values)], axis=1)

    def score(self, sums: FloatArray) -> FloatArray:
        return safe_divide(sums[..., 0], sums[..., 1])

    def _values(self, score: str, references: Answers, predictions: Answers) -> FloatArray:
        return np.array(
            [
                max(self.value(score, text, prediction) for text in all_of(reference))
                for reference, prediction in zip(references, predictions, strict=True)
            ],
            dtype=np.float64,
        )


class Answer(MeanMetric):
    """One text per example, compared after SQuAD's normalisation (Rajpurkar et al. 2016): lower case, without
    punctuation, without the articles a, an and the, with single spaces.

    - exact_match: 1 where both are the same text.
    - f1: of the words that both have in common; in scripts without spaces, of the characters.

    An empty reference says that the question has no answer (Rajpurkar et al. 2018): both scores are 1 where nothing
    is written, else 0.
    """

    scores = (Score("exact_match"), Score("f1"))
    empty_reference = True
    citation_key = "rajpurkar2016squad"

    @property
    def signature(self) -> str:
        return "normalisation:squad|f1:words"

    def value(self, score: str, reference: str, prediction: str) -> float:
        gold, said = _normalised(reference), _normalised(prediction)
        if score == "exact_match":
            return float(gold == said)
        gold_words, said_words = with_spaces(gold).split(), with_spaces(said).split()
        if not gold_words or not said_words:
            return float(gold_words == said_words)
        common = sum((Counter(gold_words) & Counter(said_words)).values())
        return 2 * common / (len(gold_words) + len(said_words))


class Number(MeanMetric):
    """One text per example: 1 where its last number is that of the reference, as GSM8K is scored (Cobbe et al. 2021).

    Commas between groups of three digits are left out; 18, 18.0 and 18.00 are one number.
    """

    scores = (Score("number"),)
    citation_key = "cobbe2021training"

    @property
    def signature(self) -> str:
        return "the last number"

    def problem(self, value: Any, *, reference: bool = False) -> str | None:
        if reason := super().problem(value, reference=reference):
            return reason
        lacking = reference and any(_last_number(text) is None for text in all_of(value))
        return "there is no number in it" if lacking else None

    def value(self, score: str, reference: str, prediction: str) -> float:
        return float(_last_number(reference) == _last_number(prediction))


class Choice(MeanMetric):
    """One text per example: 1 where the first match of `pattern` in it is the reference, whatever the case.

    Args:
        pattern: a regular expression; its first group counts where it has one, else the whole match.
    """

    scores = (Score("choice"),)
    citation_key = ""

    def __init__(self, *, main: str | None = None, pattern: str = "") -> None:
        super().__init__(main=main)
        if not isinstance(pattern, str) or not pattern:
            raise UserError(f"metric '{self.name}': it needs a pattern, as in metric_options: {{pattern: '[A-D]'}}")
        try:
            self.pattern = re.compile(pattern, re.IGNORECASE)
        except re.error as error:
            raise UserError(f"metric '{self.name}': pattern {pattern!r}: {error}") from error

    @property
    def options(self) -> dict[str, object]:
        return {**super().options, "pattern": self.pattern.pattern}

    @property
    def signature(self) -> str:
        return f"the first match of {self.pattern.pattern!r}"

    def value(self, score: str, reference: str, prediction: str) -> float:
        match = self.pattern.search(prediction)
        said = match and (match[1] if self.pattern.groups else match[0])
        return float((said or "").strip().casefold() == reference.strip().casefold())


def _normalised(text: str) -> str:
    plain = "".join(
        " " if unicodedata.category(character) == "Zs" else character
        for character in unicodedata.normalize("NFC", text.lower())
        if character not in string.punctuation and unicodedata.category(character)[0] != "P"
    )
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


def _last_number(text: str) -> Decimal | None:
    found = _NUMBER.findall(text)
    try:
        return Decimal(found[-1].replace(",", "").replace("−", "-")) if found else None
    except InvalidOperation:
        return None
