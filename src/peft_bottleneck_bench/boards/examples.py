"""Test examples on the page: errors of a run, and disagreements of a board's methods."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TypedDict, TypeGuard

from pydantic import JsonValue

from ..records import Prediction
from .inputs import Parts, with_inputs

SHOWN = 20
DISAGREEMENTS = 50
CHARACTERS = 400
LARGEST = 1e100
TAG = re.compile(r"O$|[BI]-.")


class Examples(TypedDict):
    """A table of examples."""

    summary: str
    rows: list[dict[str, object]]


def errors(rows: Sequence[Prediction], kind: str, inputs: Sequence[Parts] | None = None) -> Examples:
    """The first wrong predictions; for regression the largest errors."""
    wrong = [row for row in rows if not _right(row)]
    order = "first"
    if kind == "regression":
        wrong.sort(key=lambda row: -_distance(row))
        order = "farthest"
    which = f", the {order} {SHOWN} of them" if len(wrong) > SHOWN else ""
    return {
        "summary": f"{len(wrong):,} of {len(rows):,} test examples differ from the reference{which}{_how(rows)}",
        "rows": with_inputs(
            [
                {"example": row.index, **{name: short(value) for name, value in row if name not in ("split", "index")}}
                for row in wrong[:SHOWN]
            ],
            inputs,
        ),
    }


def disagreements(
    methods: Mapping[str, Sequence[Sequence[Prediction]]], inputs: Sequence[Parts] | None = None
) -> Examples | None:
    """The examples that the runs of a board predict most differently.

    Two runs drawn at random disagree on an example with the probability `1 − Σ share²` over its predictions. Numbers
    differ nearly always: there the disagreement is their standard deviation.

    Args:
        methods: the test rows of each run, all of the same examples.

    Returns:
        None with fewer than two runs.
    """
    runs = [rows for method in methods.values() for rows in method]
    if len(runs) < 2:
        return None
    scored = []
    for place, row in enumerate(runs[0]):
        disagreement = _disagreement([rows[place].prediction for rows in runs])
        if disagreement > 0:
            scored.append((disagreement, place, row))
    scored.sort(key=lambda item: (-item[0], item[1]))
    shown = scored[:DISAGREEMENTS]
    which = f", the {len(shown)} with most disagreement" if len(scored) > len(shown) else ""
    return {
        "summary": f"On {len(scored):,} of {len(runs[0]):,} test examples the runs disagree{which}{_how(runs[0])}"
        + (". The disagreement is a standard deviation" if _numbers([runs[0][0].prediction]) else ""),
        "rows": with_inputs(
            [
                {
                    "example": row.index,
                    "disagreement": round(disagreement, 3),
                    "reference": short(row.reference),
                    **{name: _majority([rows[place] for rows in method]) for name, method in methods.items()},
                }
                for disagreement, place, row in shown
            ],
            inputs,
        ),
    }


def _right(row: Prediction) -> bool:
    """Whether the prediction is the reference, or one of several."""
    several = isinstance(row.reference, list) and isinstance(row.prediction, str)
    return row.prediction == row.reference or (several and row.prediction in row.reference)  # type: ignore[operator]


def _disagreement(predictions: Sequence[JsonValue]) -> float:
    numbers = _numbers(predictions)
    if numbers:
        mean = fmean(numbers)
        return math.sqrt(fmean((number - mean) ** 2 for number in numbers))
    shares = Counter(map(short, predictions))
    return 1 - sum((count / len(predictions)) ** 2 for count in shares.values())


def _majority(rows: Sequence[Prediction]) -> str:
    """The prediction of most seeds, with their number, unless all agree; of numbers the mean."""
    if numbers := _numbers([row.prediction for row in rows]):
        return f"{fmean(numbers):.3f}"
    prediction, count = Counter(short(row.prediction) for row in rows).most_common(1)[0]
    return prediction if count == len(rows) else f"{prediction} ({count} of {len(rows)})"


def _numbers(values: Sequence[JsonValue]) -> list[float]:
    """The values, if all are numbers that can be computed with."""
    numbers = [
        float(value)
        for value in values
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < LARGEST
    ]
    return numbers if len(numbers) == len(values) else []


def _distance(row: Prediction) -> float:
    numbers = _numbers([row.prediction, row.reference])
    return abs(numbers[0] - numbers[1]) if numbers else math.inf


def _how(rows: Sequence[Prediction]) -> str:
    """How predictions of this sort are written."""
    tagged = bool(rows) and _is_tags(rows[0].reference)
    return ". An entity is its label and its tokens, counted from 1" if tagged else ""


def short(value: JsonValue) -> str:
    """`value` as text of bounded length; of tags the entities."""
    if _is_tags(value):
        value = entities(value)
    elif isinstance(value, list):
        value = " ".join(map(str, value))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]} …"


def entities(tags: Sequence[str]) -> str:
    """IOB2 tags as the entities that a strict score counts: `Disease 1–3, Chemical 10`."""
    found: list[tuple[str, int, int]] = []
    for place, tag in enumerate(tags, start=1):
        prefix, _, label = tag.partition("-")
        if prefix == "B":
            found.append((label, place, place))
        elif prefix == "I" and found and found[-1][0] == label and found[-1][2] == place - 1:
            found[-1] = (label, found[-1][1], place)
    words = [f"{label} {start}" if start == end else f"{label} {start}–{end}" for label, start, end in found]
    return ", ".join(words) or "no entity"


def _is_tags(value: JsonValue) -> TypeGuard[list[str]]:
    """Whether a list is one of IOB2 tags."""
    return isinstance(value, list) and bool(value) and all(isinstance(tag, str) and TAG.match(tag) for tag in value)
