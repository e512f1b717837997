"""Documents of JSON that are no table: SQuAD's articles and FewRel's relations, flattened to one row per example.

| form | becomes |
| --- | --- |
| SQuAD: `{"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question", "answers": [{"text", \
"answer_start"}]}]}]}]}` | `{"id", "title", "context", "question", "answers": {"text": […], "answer_start": […]}}`, \
as the hub has it (Rajpurkar et al. 2016, 2018) |
| FewRel: `{relation: [{"tokens": […], "h": [name, id, [[indices], …]], "t": …}]}` | \
`{"tokens", "head": [start, end], "tail": [start, end], "relation"}`: the first mention of each (Han et al. 2018) |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .file_rows import Row


def flattened(document: Mapping[str, object]) -> Iterator[Row] | None:
    """The rows of a document in one of the forms above, else None.

    Raises:
        ValueError: an entity of FewRel's form has no token.
    """
    articles = document.get("data")
    if isinstance(articles, list) and articles and all(isinstance(a, dict) and "paragraphs" in a for a in articles):
        return _questions(articles)
    relations = list(document.values())
    if relations and all(_fewrel(examples) for examples in relations):
        return _relations(document)
    return None


def _questions(articles: list[Row]) -> Iterator[Row]:
    for article in articles:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                answers = question.get("answers", [])
                rest = {key: value for key, value in question.items() if key not in ("answers", "plausible_answers")}
                yield {
                    "title": article.get("title", ""),
                    "context": paragraph["context"],
                    **rest,
                    "answers": {key: [answer[key] for answer in answers] for key in ("text", "answer_start")},
                }


def _fewrel(examples: object) -> bool:
    return (
        isinstance(examples, list)
        and bool(examples)
        and all(isinstance(e, dict) and {"tokens", "h", "t"} <= e.keys() for e in examples)
    )


def _relations(document: Mapping[str, object]) -> Iterator[Row]:
    for relation, examples in document.items():
        assert isinstance(examples, list)
        for example in examples:
            head, tail = (_first_mention(example[key], key) for key in ("h", "t"))
            yield {"tokens": example["tokens"], "head": head, "tail": tail, "relation": relation}


def _first_mention(entity: Any, key: str) -> list[int]:
    """`[start, end]` of the first mention in `[name, id, [[indices], …]]`."""
    match entity:
        case [_, _, [[_, *_] as found, *_]]:
            indices = [index for index in found if isinstance(index, int)]
            if len(indices) == len(found):
                return [min(indices), max(indices) + 1]
    raise ValueError(f"'{key}' must hold [name, id, [[tokens], …]], found {entity!r}")
