"""The inputs of a task's test examples. This module imports torch; boards do without it."""

from __future__ import annotations

from collections.abc import Sequence

from ..data.loading import Data
from ..kinds import KINDS
from ..kinds.base import Example
from ..run import data_used
from ..tasks import Task
from .inputs import Inputs, Parts

CHARACTERS = 600  # of an input that is no more than text


def inputs_of(data: Sequence[tuple[Task, Data]]) -> Inputs:
    """The inputs of the test examples of tasks."""
    return Inputs(
        {
            (task.name, data_used(task, one).identity): [parts(task.kind, example) for example in one.splits["test"]]
            for task, one in data
        }
    )


def parts(kind: str, example: Example) -> Parts:
    """The input of an example, with entities and the two sides of a relation marked."""
    if kind == "ner":
        return _entities(example["tokens"], example["tags"])
    if kind == "relation_extraction":
        places = [(example[name]["start"], example[name]["end"], name) for name in ("head", "tail")]
        return _marked(example["text"], sorted(places))
    text = KINDS[kind].input_text(example)
    return [(text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]} …", "")]


def _entities(tokens: Sequence[str], tags: Sequence[str]) -> Parts:
    """Tokens joined by spaces; each entity of the reference is a part of its own."""
    found: Parts = []
    for token, tag in zip(tokens, tags, strict=True):
        prefix, _, label = tag.partition("-")
        if found and (prefix == "I" or not label) and found[-1][1] == label:
            found[-1] = (f"{found[-1][0]} {token}", label)
        else:
            found.append((token, label))
    return found


def _marked(text: str, places: Sequence[tuple[int, int, str]]) -> Parts:
    found: Parts = []
    end = 0
    for start, stop, name in places:
        found += [(text[end:start], ""), (text[start:stop], name)]
        end = stop
    return [part for part in [*found, (text[end:], "")] if part[0]]
