"""What a task says about its columns is known and there, in every row of every split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_task import write_rows

from peft_bottleneck_bench.data.columns import find, is_missing
from peft_bottleneck_bench.data.loading import load_data
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.kinds import KINDS
from peft_bottleneck_bench.tasks import Files, Task

PAIR = [{"text": "a", "text_pair": "b", "label": label} for label in "xyxy"]
SINGLE = [{"text": "a", "label": label} for label in "xyxy"]


def error_of(
    folder: Path, splits: dict[str, list[dict[str, Any]]], kind: str = "classification", **fields: Any
) -> str:
    files = {split: str(write_rows(folder / f"{split}.jsonl", rows)) for split, rows in splits.items()}
    with pytest.raises(UserError) as error:
        load_data(Task(name="mine", kind=kind, data=Files(**files), **fields), KINDS[kind], {})
    return "\n".join(error.value.messages).replace(f"{folder}/", "")


def splits(train: Any, validation: Any = None, test: Any = None) -> dict[str, Any]:
    return {"train": train, "validation": validation or train, "test": test or train}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"columns": {"text": "text", "text_pair": "text_piar"}}, "train.jsonl, line 1: no column 'text_piar'"),
        ({"columns": {"txt_pair": "text_pair"}}, "no column 'txt_pair': did you mean 'text_pair'?"),
        ({"columns": {"text": "text", "label": "text"}}, "columns: text and label are the same column, 'text'"),
        ({"columns": {"text": None}}, "columns.text: expected the name of a column, found None"),
        ({"columns": {"text": ["text"]}}, "columns.text: expected the name of a column, found ['text']"),
        ({"columns": {"text": "text"}, "convert": lambda row: [row]}, "converts its rows itself, so that 'text'"),
        ({"prompt": "{text}"}, "task 'mine': prompt: it has no effect on classification"),
        ({"source_prefix": "x"}, "task 'mine': source_prefix: it has no effect on classification"),
        ({"markers": "typed"}, "task 'mine': markers: it has no effect on classification"),
        ({"scheme": "iob1"}, "task 'mine': scheme: it has no effect on classification"),
    ],
)
def test_a_setting_that_would_be_ignored_is_refused(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    assert message in error_of(tmp_path, splits(PAIR), **fields)


@pytest.mark.parametrize("kind", ["ner", "regression", "classification"])
def test_labels_are_for_kinds_that_have_them(tmp_path: Path, kind: str) -> None:
    task = Task(name="mine", kind=kind, data=Files(train="a", validation="a", test="a"), labels=("x", "y"))
    if kind == "regression":
        with pytest.raises(UserError, match="labels: it has no effect on regression"):
            KINDS[kind].check_task(task)
    else:
        KINDS[kind].check_task(task)


def test_an_optional_column_is_in_all_splits(tmp_path: Path) -> None:
    assert error_of(tmp_path, splits(PAIR, test=SINGLE)) == (
        "task 'mine': column 'text_pair' is there in some rows only: train.jsonl, line 1 has it, "
        "test.jsonl, line 1 lacks it"
    )
    named = {"columns": {"text": "text", "text_pair": "text_pair"}}
    assert "test.jsonl, line 1: no column 'text_pair'" in error_of(tmp_path, splits(PAIR, test=SINGLE), **named)


def test_an_optional_column_is_in_all_rows(tmp_path: Path) -> None:
    assert "train.jsonl, line 5 has it" in error_of(tmp_path, splits([*SINGLE, *PAIR]))


def test_entities_have_types_in_all_rows(tmp_path: Path) -> None:
    def row(relation: str, **head: Any) -> dict[str, Any]:
        return {
            "text": "a b",
            "head": {"start": 0, "end": 1, **head},
            "tail": {"start": 2, "end": 3},
            "relation": relation,
        }

    rows = [row("x", type="A"), row("y")]
    assert "column 'head.type' is there in some rows only" in error_of(tmp_path, splits(rows), "relation_extraction")


ROW = {"a": {"b": ["x", {"c": 1}]}, "d.e": 2, "messages": [{"content": "hi"}, {"content": "ho"}]}


@pytest.mark.parametrize(
    ("name", "value"),
    [("a.b.0", "x"), ("a.b.1.c", 1), ("d.e", 2), ("messages.0.content", "hi"), ("messages.-1.content", "ho")],
)
def test_dots_and_numbers_reach_inside(name: str, value: Any) -> None:
    assert find(ROW, name) == value


@pytest.mark.parametrize("name", ["a.c", "a.b.2", "messages.x", "d", "a.b.0.c"])
def test_what_is_not_there_is_missing(name: str) -> None:
    assert is_missing(find(ROW, name))
