"""Plain text in, readable predictions out: one line for each example.

| kind | a line of input | a line of output, its parts separated by tabs |
| --- | --- | --- |
| classification | the text; two texts with a tab between them where the task has pairs | label, probability, text |
| regression | the same | number, text |
| named entities | the text | entities with their places, text |
| relation extraction | the text, `[HEAD]…[/HEAD]` and `[TAIL]…[/TAIL]` in it, `[HEAD:PER]…[/HEAD]` with a type | \
relation, probability, head → tail |
| several labels | as for classification | labels with their probabilities, text |
| translation, summarization, generation | the source, the prompt's one column, or what a user says | the target |
| multiple choice, prompts of several columns | a JSON object with the columns | the choice, or the target |
| images | the path of an image | label, probability, path |
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..data.file_rows import Row
from ..words import quoted

MARKED = re.compile(r"\[(HEAD|TAIL)(?::([^\[\]]+))?\](.*?)\[/\1(?::[^\[\]]+)?\]", re.DOTALL)


def row_of(line: str, inputs: Sequence[str]) -> Row:
    """The row of a line of plain text, in a task whose examples have the columns `inputs`.

    Raises:
        ValueError: the task reads a pair of texts and the line is none, or it reads several columns.
    """
    if "text_pair" in inputs:
        texts = line.split("\t")
        if not line.strip():
            texts = ["", ""]
        if len(texts) != 2:
            raise ValueError(f"expected two texts with a tab between them, found {len(texts)}")
        return {"text": texts[0], "text_pair": texts[1]}
    if inputs[0] == "messages":
        return {"messages": [{"role": "user", "content": line}]}
    if len(inputs) > 1:
        raise ValueError(f"the task reads {quoted(inputs)}: give a JSON object with these columns")
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
            raise ValueError(f"[{match[1]}] is in the text twice")
        plain += text[place : match.start()]
        found[name] = {"start": len(plain), "end": len(plain) + len(match[3])} | (
            {"type": match[2]} if match[2] else {}
        )
        plain, place = plain + match[3], match.end()
    for name in ("HEAD", "TAIL"):
        if name.lower() not in found:
            raise ValueError(f"no [{name}]…[/{name}] in the text: both entities must be marked")
    return {**row, **found, "text": plain + text[place:]}


def entities(text: str, words: Sequence[tuple[int, int]], tags: Sequence[str]) -> list[Row]:
    """The entities that IOB2 tags name: type, text, and the characters `start` to `end`.

    By the scorer's rules: an entity starts at B, and an I after another type or after O starts none.
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
    texts = [row[name] for name in ("text", "text_pair", "image") if isinstance(row.get(name), str)]
    if "choices" in row:
        return _line(row["choices"][row["answer"][0]])
    if "labels" in row:
        given = [f"{name} {row['probabilities'][name]:.3f}" for name in row["labels"]]
        return _line(", ".join(given) or "no label", *texts)
    if "label" in row:
        return _line(row["label"], f"{row['probabilities'][row['label']]:.3f}", *texts)
    if "score" in row:
        return _line(f"{row['score']:.3f}", *texts)
    return _line(row["target"] if "target" in row else row["summary"])


def _line(*parts: str) -> str:
    return "\t".join(" ".join(part.split()) for part in parts)
