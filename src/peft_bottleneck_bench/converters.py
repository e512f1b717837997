"""From the rows of published data sets to the examples of a kind, where a mapping of columns is not enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .words import joined_words

Example = dict[str, Any]  # columns to values of the kind's types
Converter = Callable[[Example], Iterable[Example]]


def filled(**columns: str) -> Converter:
    """A converter to the columns that are named, for sources in which a few rows lack a text: those are left out.

    >>> list(filled(source="translation.en", target="translation.de")({"translation": {"en": "Yes.", "de": ""}}))
    []
    """

    def convert(row: Example) -> Iterable[Example]:
        example = {}
        for column, name in columns.items():
            value: Any = row
            for part in name.split("."):
                value = value[part]
            example[column] = value
        return [example] if all(text and text.strip() for text in example.values()) else []

    return convert


def marked_entities(text: str, *, head: tuple[str, str], tail: tuple[str, str]) -> Example:
    """`text` without its markers, and the character offsets of the `head` and `tail` that they enclose.

    >>> marked_entities("<a>Ann</a> met <b>Bo</b>", head=("<a>", "</a>"), tail=("<b>", "</b>"))
    {'text': 'Ann met Bo', 'head': {'start': 0, 'end': 3}, 'tail': {'start': 8, 'end': 10}}

    Raises:
        ValueError: a marker is missing, or occurs twice.
    """
    for marker in (*head, *tail):
        if text.count(marker) != 1:
            raise ValueError(f"expected {marker!r} once, found it {text.count(marker)} times in {text!r}")
    markers = sorted((*head, *tail), key=text.index)
    offsets, removed, plain = {}, 0, text
    for marker in markers:
        offsets[marker] = text.index(marker) - removed
        removed += len(marker)
        plain = plain.replace(marker, "")
    entities = {
        name: {"start": offsets[first], "end": offsets[last]}
        for name, (first, last) in {"head": head, "tail": tail}.items()
    }
    return {"text": plain, **entities}


def token_entities(tokens: Sequence[str], **entities: tuple[int, int]) -> Example:
    """The tokens joined by spaces as `text`, and the character offsets of entities given by first and last token.

    >>> token_entities(["Ann", "met", "Bo", "Li"], head=(0, 0), tail=(2, 3))
    {'text': 'Ann met Bo Li', 'head': {'start': 0, 'end': 3}, 'tail': {'start': 8, 'end': 13}}
    """
    text, places = joined_words(tokens)
    spans = {name: {"start": places[first][0], "end": places[last][1]} for name, (first, last) in entities.items()}
    return {"text": text, **spans}


def iob2(tags: Sequence[str]) -> list[str]:
    """Tags in IOB1, or in a loose IOB2, as strict IOB2: every entity opens with B-.

    >>> iob2(["I-PER", "I-PER", "B-PER", "O", "I-LOC"])
    ['B-PER', 'I-PER', 'B-PER', 'O', 'B-LOC']
    """
    strict = []
    for before, tag in zip(["O", *tags], tags, strict=False):
        opens = tag[:2] == "I-" and before[2:] != tag[2:]
        strict.append(f"B-{tag[2:]}" if opens else tag)
    return strict
