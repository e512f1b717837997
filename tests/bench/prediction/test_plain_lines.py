"""Plain text in, readable lines out."""

from __future__ import annotations

import re

import pytest
from seqeval.scheme import IOB2, Entities

from peft_bottleneck_bench.prediction.plain_lines import entities, line_of, with_entities
from peft_bottleneck_bench.words import joined_words, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ada's friend (in Malmö) left.", ["Ada", "'s", "friend", "(", "in", "Malmö", ")", "left", "."]),
        ('"No," said Hans-Peter…', ['"', "No", ",", '"', "said", "Hans-Peter", "…"]),
        ("हिन्दी में – 5 %", ["हिन्दी", "में", "–", "5", "%"]),
        ("'s  --", ["'", "s", "-", "-"]),
        ("", []),
    ],
)
def test_words_are_where_they_stand(text: str, words: list[str]) -> None:
    places = words_of(text)
    assert [text[start:end] for start, end in places] == words
    assert places == sorted(places)


def test_joined_words_know_their_places() -> None:
    text, places = joined_words(["Ada", "left", "."])
    assert text == "Ada left ."
    assert [text[start:end] for start, end in places] == ["Ada", "left", "."]
    assert joined_words([]) == ("", [])


@pytest.mark.parametrize(
    "tags",
    [
        "B-PER I-PER O B-LOC",
        "B-PER B-PER I-PER O",
        "I-PER O B-LOC I-PER",
        "B-LOC I-PER I-LOC O",
        "O I-LOC B-A B-A",
    ],
)
def test_entities_are_those_that_the_scorer_counts(tags: str) -> None:
    text, words = joined_words(["aa", "b", "ccc", "d"])
    found = entities(text, words, tags.split())
    scored = Entities([tags.split()], scheme=IOB2).entities[0]
    assert [(entity["type"], entity["start"], entity["end"]) for entity in found] == [
        (entity.tag, words[entity.start][0], words[entity.end - 1][1]) for entity in scored
    ]
    assert all(text[entity["start"] : entity["end"]] == entity["text"] for entity in found)


def test_markers_become_offsets() -> None:
    row = with_entities({"text": "So [TAIL:ORG]Acme[/TAIL] hired [HEAD]Ada L.[/HEAD]!", "more": 1})
    assert row == {
        "text": "So Acme hired Ada L.!",
        "tail": {"start": 3, "end": 7, "type": "ORG"},
        "head": {"start": 14, "end": 20},
        "more": 1,
    }
    assert line_of({**row, "relation": "works_for", "probabilities": {"works_for": 0.25}}) == (
        "works_for\t0.250\tAda L. → Acme"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[HEAD]Ada[/HEAD] left", "no [TAIL]…[/TAIL] in the text: both entities must be marked"),
        ("[HEAD]a[/HEAD] [HEAD]b[/HEAD]", "[HEAD] is in the text twice"),
        (None, "'text' must be text, found None"),
    ],
)
def test_a_text_without_both_entities_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        with_entities({"text": text})


def test_an_answer_is_one_line() -> None:
    found = [
        {"type": "PER", "text": "Ada", "start": 0, "end": 3},
        {"type": "LOC", "text": "Bergen", "start": 7, "end": 13},
    ]
    named = {"text": "Ada in Bergen", "tokens": [], "tags": [], "entities": found}
    assert line_of(named) == "PER Ada 0–3; LOC Bergen 7–13\tAda in Bergen"
    assert line_of({**named, "entities": []}) == "no entity\tAda in Bergen"
    assert line_of({"text": "a", "text_pair": "b", "score": 2.5}) == "2.500\ta\tb"
    assert line_of({"source": "a", "target": "two\nlines"}) == "two lines"
    assert line_of({"document": "a", "summary": "short"}) == "short"
