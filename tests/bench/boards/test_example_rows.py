"""Test examples on the page: entities in words, numbers by their spread."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from peft_bottleneck_bench.boards.examples import disagreements, errors, short
from peft_bottleneck_bench.records import Prediction


def rows(references: list[JsonValue], predictions: list[JsonValue]) -> list[Prediction]:
    return [
        Prediction(split="test", index=place, reference=reference, prediction=prediction)
        for place, (reference, prediction) in enumerate(zip(references, predictions, strict=True))
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (["O", "B-Disease", "I-Disease", "O", "B-Chemical"], "Disease 2–3, Chemical 5"),
        (["B-PER", "B-PER", "I-PER"], "PER 1, PER 2–3"),
        (["O", "O"], "no entity"),
        (["I-Disease", "O", "B-PER", "I-LOC"], "PER 3"),  # a strict score counts no entity without its beginning
        (["one", "two"], "one two"),  # several references, no tags
        ([], ""),
        (3.5, "3.5"),
    ],
)
def test_tags_are_shown_as_the_entities_that_count(value: JsonValue, text: str) -> None:
    assert short(value) == text


def test_disagreements_on_entities_are_on_those_that_count() -> None:
    references: list[JsonValue] = [["B-PER", "O"], ["B-PER", "O"]]
    one = rows(references, [["B-PER", "O"], ["O", "O"]])
    other = rows(references, [["B-LOC", "O"], ["I-PER", "O"]])
    found = disagreements({"one": [one], "other": [other]})
    assert found is not None
    assert found["summary"] == (
        "On 1 of 2 test examples the runs disagree. An entity is its label and its tokens, counted from 1"
    )
    assert found["rows"] == [
        {"example": 0, "disagreement": 0.5, "reference": "PER 1", "one": "PER 1", "other": "LOC 1"}
    ]


def test_numbers_disagree_by_their_standard_deviation() -> None:
    references: list[JsonValue] = [1.0, 2.0, 3.0]
    runs = {
        "one": [rows(references, [1.0, 2.0, 3.0]), rows(references, [1.0, 2.2, 3.0])],
        "other": [rows(references, [1.0, 2.4, 5.0])],
    }
    found = disagreements(runs)
    assert found is not None
    assert found["summary"].startswith("On 2 of 3 test examples the runs disagree")
    assert found["summary"].endswith("The disagreement is a standard deviation")
    first, second = found["rows"]
    assert (first["example"], first["disagreement"], first["one"], first["other"]) == (2, 0.943, "3.000", "5.000")
    assert (second["example"], second["disagreement"], second["one"]) == (1, 0.163, "2.100")
    assert "standard deviation" not in errors(runs["other"][0], "regression")["summary"]
