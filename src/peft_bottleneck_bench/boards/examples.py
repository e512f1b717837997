"""Test examples on the page: errors of a run, and disagreements of a board's methods."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypedDict

from pydantic import JsonValue

from ..records import Prediction
from .inputs import Parts, with_inputs

SHOWN = 20
DISAGREEMENTS = 50
CHARACTERS = 400


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
        "summary": f"{len(wrong):,} of {len(rows):,} test examples differ from the reference{which}",
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

    Two runs drawn at random disagree on an example with the probability `1 − Σ share²` over its predictions.

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
        shares = Counter(short(rows[place].prediction) for rows in runs)
        disagreement = 1 - sum((count / len(runs)) ** 2 for count in shares.values())
        if len(shares) > 1:
            scored.append((disagreement, place, row))
    scored.sort(key=lambda item: (-item[0], item[1]))
    shown = scored[:DISAGREEMENTS]
    which = f", the {len(shown)} with most disagreement" if len(scored) > len(shown) else ""
    return {
        "summary": f"On {len(scored):,} of {len(runs[0]):,} test examples the runs disagree{which}",
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


def _majority(rows: Sequence[Prediction]) -> str:
    """The prediction of most seeds, with their number, unless all agree."""
    prediction, count = Counter(short(row.prediction) for row in rows).most_common(1)[0]
    return prediction if count == len(rows) else f"{prediction} ({count} of {len(rows)})"


def _distance(row: Prediction) -> float:
    numbers = [value for value in (row.prediction, row.reference) if isinstance(value, (int, float))]
    return abs(numbers[0] - numbers[1]) if len(numbers) == 2 else math.inf


def short(value: JsonValue) -> str:
    """`value` as text of bounded length."""
    if isinstance(value, list):
        value = " ".join(map(str, value))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]} …"
