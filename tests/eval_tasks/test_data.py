"""The data sets that the project ships: what dataset.json says of them holds, row by row."""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from peft_bottleneck_bench.tasks import SHIPPED

Row = dict[str, Any]

FOLDER = SHIPPED / "data"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/dataset.json"))
SPLITS = ("train", "validation", "test")
# the fields of a row, and those of them that hold what a model reads
FIELDS = {
    "classification": ({"text", "label"}, ("text",)),
    "regression": ({"text", "text_pair", "score"}, ("text", "text_pair")),
    "ner": ({"tokens", "tags"}, ("tokens",)),
    "relation_extraction": ({"text", "head", "tail", "relation"}, ("text",)),
    "translation": ({"source", "target"}, ("source",)),
    "summarization": ({"document", "summary"}, ("document",)),
}
SCORES = (0.0, 5.0)


def card(name: str) -> Row:
    content: Row = json.loads((FOLDER / name / "dataset.json").read_text(encoding="utf-8"))
    return content


@cache
def rows(name: str, split: str) -> list[Row]:
    return [json.loads(line) for line in (FOLDER / name / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


def all_rows(name: str) -> list[Row]:
    return [row for split in SPLITS for row in rows(name, split)]


def of_kind(kind: str) -> list[str]:
    return [name for name in NAMES if card(name)["kind"] == kind]


def words(value: str | list[str]) -> str:
    """One spelling for texts that differ in case or white space alone."""
    return " ".join((value if isinstance(value, str) else " ".join(value)).casefold().split())


def labels_in(kind: str, row: Row) -> set[str]:
    if kind == "ner":
        return {tag[2:] for tag in row["tags"] if tag != "O"}
    return {row["label" if kind == "classification" else "relation"]}


def strings(value: object) -> list[str]:
    """Every string at any depth of a row."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [text for part in value for text in strings(part)] if isinstance(value, list) else []


def test_every_folder_has_a_card() -> None:
    assert sorted(path.name for path in FOLDER.iterdir() if path.is_dir()) == NAMES


@pytest.mark.parametrize("kind", FIELDS)
def test_every_kind_has_a_data_set(kind: str) -> None:
    assert of_kind(kind)


@pytest.mark.parametrize("name", NAMES)
def test_card(name: str) -> None:
    content = card(name)
    assert content["name"] == name
    assert content["licence"] == "Apache-2.0"
    assert content["languages"]
    assert content["description"].endswith(".")
    assert content["counts"] == {split: len(rows(name, split)) for split in SPLITS}
    assert all(content["counts"].values())


@pytest.mark.parametrize("name", NAMES)
def test_fields(name: str) -> None:
    fields, _ = FIELDS[card(name)["kind"]]
    for row in all_rows(name):
        assert set(row) == fields
        assert all(row[field] not in ("", []) for field in fields)
        for text in strings(row):
            assert text == text.strip() != "", row


@pytest.mark.parametrize("name", NAMES)
def test_no_text_twice(name: str) -> None:
    _, inputs = FIELDS[card(name)["kind"]]
    texts = [words(row[field]) for row in all_rows(name) for field in inputs]
    assert sorted(texts) == sorted(set(texts))


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", [name for name in NAMES if "labels" in card(name)])
def test_labels(name: str, split: str) -> None:
    content = card(name)
    used = set().union(*(labels_in(content["kind"], row) for row in rows(name, split)))
    assert used == set(content["labels"])


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", [*of_kind("classification"), *of_kind("relation_extraction")])
def test_labels_are_balanced(name: str, split: str) -> None:
    content = card(name)
    drawn = [label for row in rows(name, split) for label in labels_in(content["kind"], row)]
    counts = [drawn.count(label) for label in content["labels"]]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("name", of_kind("ner"))
def test_tags_are_strict_iob2(name: str) -> None:
    for row in all_rows(name):
        assert len(row["tokens"]) == len(row["tags"])
        assert all(token.split() == [token] for token in row["tokens"])
        for before, tag in pairwise(["O", *row["tags"]]):
            assert tag == "O" or tag[:2] in ("B-", "I-"), row
            assert tag[:2] != "I-" or before[2:] == tag[2:], row


@pytest.mark.parametrize("name", of_kind("relation_extraction"))
def test_offsets(name: str) -> None:
    for row in all_rows(name):
        for entity in (row["head"], row["tail"]):
            assert set(entity) == {"text", "start", "end", "type"}
            assert row["text"][entity["start"] : entity["end"]] == entity["text"]
        first, second = sorted((row["head"], row["tail"]), key=lambda entity: entity["start"])
        assert first["end"] <= second["start"], row


@pytest.mark.parametrize("name", of_kind("relation_extraction"))
def test_heads_come_on_either_side(name: str) -> None:
    for split in SPLITS:
        assert {row["head"]["start"] < row["tail"]["start"] for row in rows(name, split)} == {True, False}


@pytest.mark.parametrize("name", of_kind("regression"))
def test_scores(name: str) -> None:
    lowest, highest = SCORES
    for split in SPLITS:
        scores = [row["score"] for row in rows(name, split)]
        assert all(isinstance(score, float) for score in scores)
        assert min(scores) == lowest
        assert max(scores) == highest


@pytest.mark.parametrize("name", of_kind("summarization"))
def test_summaries_are_shorter_than_their_documents(name: str) -> None:
    for row in all_rows(name):
        assert 2 * len(row["summary"].split()) < len(row["document"].split()), row
