"""Named entities by their characters, as annotation tools export them, as words and tags.

| form | a row |
| --- | --- |
| Label Studio | `{"data": {"text": …}, "annotations": [{"result": [{"value": {"start", "end", "labels": […]}}]}]}` |
| Label Studio, JSON-MIN | `{"text": …, "label": [{"start", "end", "labels": […]}]}` |
| Prodigy | `{"text": …, "spans": [{"start", "end", "label"}], "tokens": [{"text", "start", "end"}]}` |
| doccano | `{"text": …, "label": [[start, end, type]]}` or `"entities": [{"start_offset", "end_offset", "label"}]` |
| spaCy | `[text, {"entities": [[start, end, type]]}]` |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from ..words import words_of
from .file_rows import Row

Span = tuple[int, int, str]
_COLUMNS = ("spans", "entities", "label", "labels")


def entity_example(row: Row, columns: Mapping[str, str]) -> Row | None:
    """The `tokens` and `tags` of a row in one of the forms above; None for a row in none of them.

    The text is split at spaces and punctuation, or as the row's own tokens say, and where an entity begins or ends.

    Raises:
        ValueError: an entity is outside the text, or two of them overlap.
    """
    if "tokens" in columns or "tags" in columns or "tags" in row:
        return None
    text, found = _text_and_spans(row)
    if not isinstance(text, str) or found is None:
        return None
    spans = sorted({_trimmed(text, span) for span in found})
    for (_, end, name), (start, _, other) in pairwise(spans):
        if start < end:
            raise ValueError(f"the entities {name!r} and {other!r} overlap at character {start}")
    words = _split(_words(row, text), spans)
    tags = ["O"] * len(words)
    for start, end, name in spans:
        inside = [number for number, (first, last) in enumerate(words) if start <= first and last <= end]
        for number in inside:
            tags[number] = f"{'B' if number == inside[0] else 'I'}-{name}"
    return {"tokens": [text[start:end] for start, end in words], "tags": tags}


def _text_and_spans(row: Row) -> tuple[Any, list[Span] | None]:
    data, annotations = row.get("data"), row.get("annotations")
    if isinstance(data, dict) and isinstance(annotations, list):
        results = annotations[0].get("result", []) if annotations else []
        return data.get("text"), [_span(result.get("value")) for result in results if "value" in result]
    for column in _COLUMNS:
        if isinstance(row.get(column), list) and all(isinstance(item, (list, tuple, dict)) for item in row[column]):
            return row.get("text"), [_span(item) for item in row[column]]
    return None, None


def _span(item: Any) -> Span:
    if isinstance(item, dict):
        start, end = (item.get(key, item.get(f"{key}_offset")) for key in ("start", "end"))
        name = item.get("label") or item.get("labels") or item.get("type")
        name = name[0] if isinstance(name, list) and name else name
    else:
        start, end, name = [*item, None, None, None][:3]
    if not all(isinstance(place, int) for place in (start, end)) or not isinstance(name, str) or not name.strip():
        raise ValueError(f"an entity needs a start, an end and a type, found {item!r}")
    return int(start), int(end), name.strip()  # type: ignore[arg-type]


def _trimmed(text: str, span: Span) -> Span:
    """The span without white space at its ends."""
    start, end, name = span
    if not 0 <= start < end <= len(text):
        raise ValueError(f"entity {name!r} is at {start}–{end} in a text of {len(text)} characters")
    while end - start > 1 and text[start].isspace():
        start += 1
    while end - start > 1 and text[end - 1].isspace():
        end -= 1
    return start, end, name


def _words(row: Row, text: str) -> list[tuple[int, int]]:
    tokens = row.get("tokens")
    if isinstance(tokens, list) and tokens and all(isinstance(token, dict) and "start" in token for token in tokens):
        return [(token["start"], token["end"]) for token in tokens]
    return words_of(text)


def _split(words: Sequence[tuple[int, int]], spans: Sequence[Span]) -> list[tuple[int, int]]:
    """The words, cut where an entity begins or ends inside one."""
    borders = sorted({border for start, end, _ in spans for border in (start, end)})
    split = []
    for start, end in words:
        cuts = [start, *(border for border in borders if start < border < end), end]
        split += list(pairwise(cuts))
    return split
