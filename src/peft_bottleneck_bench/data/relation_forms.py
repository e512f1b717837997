"""Relations in the forms of published data sets, as a text with the characters of head and tail.

| form | a row |
| --- | --- |
| token indices, `end` after the last | `{"tokens": […], "head": [start, end], "tail": [start, end], "relation": …}` |
| TACRED | `{"token": […], "subj_start", "subj_end", "obj_start", "obj_end", "subj_type", "obj_type", "relation"}` |
| SpERT, the form of CoNLL04 and SciERC | `{"tokens": […], "entities": [{"type", "start", "end"}], \
"relations": [{"type", "head", "tail"}]}`: an example for each relation |
| marked text | `{"text": "<e1>Ann</e1> met <e2>Bo</e2>.", "relation": …}`, or with `[E1]`, `[HEAD]` and `[TAIL]` |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..converters import marked_entities, token_entities
from .columns import find, is_missing
from .file_rows import Row

_MARKS = (("<e1>", "<e2>"), ("[E1]", "[E2]"), ("[HEAD]", "[TAIL]"), ("<head>", "<tail>"))


def relation_examples(row: Row, columns: Mapping[str, str]) -> Iterator[Row]:
    """The examples of a row in one of the forms above; none for a row in none of them.

    Raises:
        ValueError: an entity is outside the tokens, or a marker is missing.
    """

    def column(name: str) -> Any:
        value = find(row, str(columns.get(name, name)))
        return None if is_missing(value) else value

    relation, tokens, text = column("relation"), column("tokens"), column("text")
    if isinstance(row.get("token"), list) and "subj_start" in row:
        example = token_entities(
            row["token"], head=(row["subj_start"], row["subj_end"]), tail=(row["obj_start"], row["obj_end"])
        )
        for name, role in (("head", "subj"), ("tail", "obj")):
            if f"{role}_type" in row:
                example[name]["type"] = row[f"{role}_type"]
        yield {**example, "relation": relation}
    elif isinstance(tokens, list) and isinstance(row.get("relations"), list) and "entities" in row:
        entities = row["entities"]
        for found in row["relations"]:
            head, tail = (_tokens(entities[found[name]], name, tokens) for name in ("head", "tail"))
            example = token_entities(tokens, head=head, tail=tail)
            for name in ("head", "tail"):
                example[name]["type"] = entities[found[name]].get("type")
            yield {**example, "relation": found["type"]}
    elif isinstance(tokens, list) and text is None:
        head, tail = (_tokens(column(name), name, tokens) for name in ("head", "tail"))
        example = token_entities(tokens, head=head, tail=tail)
        for name in ("head", "tail"):
            if isinstance(column(name), dict) and column(name).get("type"):
                example[name]["type"] = column(name)["type"]
        yield {**example, "relation": relation}
    elif isinstance(text, str) and column("head") is None and column("tail") is None:
        for head_mark, tail_mark in _MARKS:
            if head_mark in text:
                marks = {"head": (head_mark, _closing(head_mark)), "tail": (tail_mark, _closing(tail_mark))}
                yield {**marked_entities(text, **marks), "relation": relation}
                return


def _closing(mark: str) -> str:
    return f"{mark[0]}/{mark[1:]}"


def _tokens(entity: Any, name: str, tokens: list[Any]) -> tuple[int, int]:
    """The first and the last token of an entity."""
    if isinstance(entity, dict):
        entity = (entity.get("start"), entity.get("end"))
    if not isinstance(entity, (list, tuple)) or len(entity) != 2 or not all(isinstance(i, int) for i in entity):
        raise ValueError(f"'{name}' must hold the tokens [start, end], found {entity!r}")
    start, end = entity
    if not 0 <= start < end <= len(tokens):
        raise ValueError(f"'{name}' has the tokens {start} to {end} of {len(tokens)}")
    return start, end - 1
