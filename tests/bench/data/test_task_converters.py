"""A task's `convert` is code of a user's: what it gives is checked, and what it raises is named with its row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_task import write_rows

from peft_bottleneck_bench.data.loading import load_data
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.kinds import KINDS
from peft_bottleneck_bench.tasks import Files, Task


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (lambda row: 1 / 0, "convert: ZeroDivisionError: division by zero"),
        (lambda row: None, "convert: TypeError: 'NoneType' object is not iterable"),
        (lambda row: ["a"], "convert: expected a list of examples, each a dict by column, found 'a'"),
        (lambda row: [{"label": "x"}], "convert: the example has no 'text', which classification needs"),
        (
            lambda row: [{**row, "text_piar": "b"}],
            "convert: classification has no column 'text_piar': did you mean 'text_pair'?",
        ),
        (lambda row: [{"text": row["txt"]}], "no column 'txt', which task 'mine' reads"),
    ],
    ids=["raises", "none", "text", "incomplete", "unknown", "column"],
)
def test_a_converter_that_fails_is_named_with_the_row(tmp_path: Path, convert: Any, message: str) -> None:
    file = str(write_rows(tmp_path / "a.jsonl", [{"text": "a", "label": "x"}]))
    task = Task(
        name="mine",
        kind="classification",
        data=Files(train=file, validation=file, test=file),
        convert=convert,
    )
    with pytest.raises(UserError) as error:
        load_data(task, KINDS["classification"], {})
    assert error.value.messages[0].startswith(f"{file}, line 1: {message}")
