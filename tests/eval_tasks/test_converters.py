"""The converters that tasks share."""

from __future__ import annotations

import doctest

import pytest

from peft_bottleneck_bench import converters
from peft_bottleneck_bench.converters import filled, iob2, marked_entities


def test_the_examples_in_the_documentation_hold() -> None:
    failed, tried = doctest.testmod(converters)
    assert tried >= 4
    assert not failed


def test_nested_entities_keep_their_places() -> None:
    example = marked_entities("x [[ a << b >> ]] y", head=("[[ ", " ]]"), tail=("<< ", " >>"))
    assert example == {"text": "x a b y", "head": {"start": 2, "end": 5}, "tail": {"start": 4, "end": 5}}


@pytest.mark.parametrize("text", ["<1>a</1> b", "<1>a</1> <1>b</1> <2>c</2>"])
def test_a_marker_stands_there_once(text: str) -> None:
    with pytest.raises(ValueError, match="once, found it [02] times in "):
        marked_entities(text, head=("<1>", "</1>"), tail=("<2>", "</2>"))


@pytest.mark.parametrize(("document", "examples"), [("Text.", 1), ("  ", 0), (None, 0)])
def test_rows_without_a_text_are_left_out(document: str | None, examples: int) -> None:
    assert (
        len(list(filled(document="document", summary="summary")({"document": document, "summary": "S."}))) == examples
    )


def test_strict_tags_stay_as_they_are() -> None:
    tags = ["B-A", "I-A", "B-A", "O", "B-B", "I-B"]
    assert iob2(tags) == tags
    assert iob2(["B-A", "I-B"]) == ["B-A", "B-B"]
