"""New text as people write it, and predictions as they read them: one line for each example.

| kind | a line of input | a line of output, its parts set apart by tabs |
| --- | --- | --- |
| classification | the text; two texts with a tab between them where the task has pairs | label, probability, text |
| regression | the same | number, text |
| named entities | the text | entities with their places, text |
| relation extraction | the text, `[HEAD]…[/HEAD]` and `[TAIL]…[/TAIL]` in it, `[HEAD:PER]…[/HEAD]` with a type | \
relation, probability, head → tail |
| translation, summarization | the source | the target |
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

Row = dict[str, Any]

MARKED = re.compile(r"\[(HEAD|TAIL)(?::([^\[\]]+))?\](.*?)\[/\1(?::[^\[\]]+)?\]", re.DOTALL)
ENGLISH_S = re.compile(r"(?<=.)['’]s$", re.IGNORECASE)  # a word of its own in most corpora


def row_of(line: str, inputs: Sequence[str]) -> Row:
    """The row that a line of plain text stands for, in a task whose examples have the columns `inputs`.

    Raises:
        ValueError: the task has pairs of texts, and the line is no pair.
    """
    if "text_pair" in inputs:
        texts = line.split("\t")
        if len(texts) != 2:
            raise ValueError(f"expected two texts with a tab between them, found {len(texts)}")
        return {"text": texts[0], "text_pair": texts[1]}
    return {"text" if inputs[0] == "tokens" else inputs[0]: line}


def with_entities(row: Row) -> Row:
    """The row with its markers taken out of `text`, and `head` and `tail` where they were.

    Raises:
        ValueError: one of the two is not marked, or twice.
    """
    text, plain, place = row["text"], "", 0
    found: dict[str, Row] = {}
    if not isinstance(text, str):
        raise ValueError(f"'text' must be text, found {text!r}")
    for match in MARKED.finditer(text):
        name = match[1].lower()
        if name in found:
            raise ValueError(f"[{match[1]}] stands in the text twice")
        plain += text[place : match.start()]
        found[name] = {"start": len(plain), "end": len(plain) + len(match[3])} | (
            {"type": match[2]} if match[2] else {}
        )
        plain, place = plain + match[3], match.end()
    for name in ("HEAD", "TAIL"):
        if name.lower() not in found:
            raise ValueError(f"no [{name}]…[/{name}] in the text: both entities must be marked")
    return {**row, **found, "text": plain + text[place:]}


def words_of(text: str) -> list[tuple[int, int]]:
    """Where the words of a text stand: split at spaces, with leading and trailing punctuation and 's set apart."""
    places = []
    for match in re.finditer(r"\S+", text):
        start, end = match.span()
        before, after = [], []
        while end - start > 1 and _is_mark(text[start]):
            before.append((start, start + 1))
            start += 1
        while end - start > 1 and _is_mark(text[end - 1]):
            after.append((end - 1, end))
            end -= 1
        if english := ENGLISH_S.search(text[start:end]):
            after.append((start + english.start(), end))
            end = start + english.start()
        places += [*before, (start, end), *reversed(after)]
    return places


def joined_words(tokens: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """The tokens with a space between them, and where each of them stands."""
    ends = [0]
    for token in tokens:
        ends.append(ends[-1] + len(token) + 1)
    return " ".join(tokens), [(start, end - 1) for start, end in pairwise(ends)]


def entities(text: str, words: Sequence[tuple[int, int]], tags: Sequence[str]) -> list[Row]:
    """The entities that IOB2 tags name: type, text, and the characters `start` to `end`.

    As the scorer reads them: an entity starts at B, and an I after anything else than its own type is none.
    """
    found: list[Row] = []
    is_open = ""
    for (start, end), tag in zip(words, tags, strict=True):
        prefix, _, name = tag.partition("-")
        if prefix == "B":
            found.append({"type": name, "text": text[start:end], "start": start, "end": end})
            is_open = name
        elif prefix == "I" and name == is_open:
            found[-1] |= {"text": text[found[-1]["start"] : end], "end": end}
        else:
            is_open = ""
    return found


def line_of(row: Row) -> str:
    """An answered row as a line for people; see the table above."""
    if "tokens" in row:
        named = [f"{entity['type']} {entity['text']} {entity['start']}–{entity['end']}" for entity in row["entities"]]
        return _line("; ".join(named) or "no entity", row["text"])
    if "relation" in row:
        head, tail = (row["text"][row[name]["start"] : row[name]["end"]] for name in ("head", "tail"))
        return _line(row["relation"], f"{row['probabilities'][row['relation']]:.3f}", f"{head} → {tail}")
    texts = [row[name] for name in ("text", "text_pair") if name in row]
    if "label" in row:
        return _line(row["label"], f"{row['probabilities'][row['label']]:.3f}", *texts)
    if "score" in row:
        return _line(f"{row['score']:.3f}", *texts)
    return _line(row["target"] if "target" in row else row["summary"])


def _line(*parts: str) -> str:
    return "\t".join(" ".join(part.split()) for part in parts)


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"
