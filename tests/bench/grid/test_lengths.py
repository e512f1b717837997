"""Lengths and cuts, said before training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_task import write_rows

from peft_bottleneck_bench.cli import main


def test_the_dry_run_says_what_stands_out(
    configure: Callable[..., Path], files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": "good " * length, "label": label} for length, label in ((2, "a"), (30, "b"), (9, "b"), (0, "b"))]
    for file in files.values():
        write_rows(Path(file), rows)
    assert main(["run", str(configure(max_length=10)), "--dry-run"]) == 0
    out = capsys.readouterr().out
    for note in (
        "words: 2 labels in train: b 3, a 1",
        "words: labels with one example in train: 'a'",
        "words: examples of test with the text of one of train: 4",
        "words: examples of train without text: 1",
        "words · tiny_bert: the longest of 12 examples has 10 tokens",
        "words · tiny_bert: 6 of them are longer than max_length, 10 tokens, and are cut",
    ):
        assert f"note: {note}\n" in out
