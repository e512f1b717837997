"""Precision, recall and F1 of entity spans, by seqeval in strict IOB2."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version

import datasets
import numpy as np
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2, Entities

from .base import Answers, FloatArray, Metric, ReportRow, Score, safe_divide
from .counts import f1

_TAG = re.compile(r"O|[BI]-.+")


class Seqeval(Metric):
    """One list of IOB2 tags per example. An entity counts if its type and both ends are right; strictly, an I- that no
    B- of its type opens is no entity.

    - f1, precision, recall: over all entities of all types (micro).
    """

    scores = (Score("f1"), Score("precision"), Score("recall"))
    types = ((datasets.List(datasets.Value("string")), datasets.List(datasets.Value("string"))),)
    citation_key = "nakayama2018seqeval; ramshaw1995text"

    @property
    def signature(self) -> str:
        return f"seqeval:{version('seqeval')}|mode:strict|scheme:IOB2"

    def problem(self, value: object, *, reference: bool = False) -> str | None:
        if isinstance(value, str) or not isinstance(value, Sequence):
            return "expected a list of tags"
        for position, tag in enumerate(value):
            if not isinstance(tag, str) or not _TAG.fullmatch(tag):
                return f"unknown tag {tag!r} at position {position}: choose from O, B-TYPE, I-TYPE"
        return None

    def check(self, references: Answers, predictions: Answers) -> None:
        super().check(references, predictions)
        for index, (reference, prediction) in enumerate(zip(references, predictions, strict=True)):
            if len(reference) != len(prediction):
                raise ValueError(
                    f"{self.name}: example {index} has {len(reference)} reference tags but {len(prediction)} predicted"
                )

    def _compute(self, references: Sequence[object], predictions: Sequence[object]) -> dict[str, float]:
        average = _report(references, predictions)["micro avg"]
        return {"f1": average["f1-score"], "precision": average["precision"], "recall": average["recall"]}

    def report(self, references: Answers, predictions: Answers) -> list[ReportRow]:
        return [
            {
                "label": label,
                "precision": float(row["precision"]),
                "recall": float(row["recall"]),
                "f1": float(row["f1-score"]),
                "support": int(row["support"]),
            }
            for label, row in _report(references, predictions).items()
            if not label.endswith(" avg")
        ]

    def statistics(self, references: Sequence[object], predictions: Sequence[object]) -> FloatArray:
        """Correct, predicted and gold entities of each example."""
        self.check(references, predictions)
        gold, predicted = _spans(references), _spans(predictions)
        return np.array([[len(g & p), len(p), len(g)] for g, p in zip(gold, predicted, strict=True)], dtype=np.float64)

    def score(self, sums: FloatArray) -> FloatArray:
        correct, predicted, gold = np.moveaxis(sums, -1, 0)
        if self.main == "precision":
            return safe_divide(correct, predicted)
        if self.main == "recall":
            return safe_divide(correct, gold)
        return f1(correct, predicted, gold)


def _report(references: Sequence[object], predictions: Sequence[object]) -> dict[str, dict[str, float]]:
    report: dict[str, dict[str, float]] = classification_report(
        references, predictions, mode="strict", scheme=IOB2, output_dict=True, zero_division=0
    )
    return report


def _spans(sequences: Answers) -> list[set[tuple[str, int, int]]]:
    """Type, start and end of every entity of every sequence."""
    entities = Entities([list(tags) for tags in sequences], scheme=IOB2).entities
    return [{(entity.tag, entity.start, entity.end) for entity in sequence} for sequence in entities]
