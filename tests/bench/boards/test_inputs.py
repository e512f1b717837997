"""The page shows what test examples say if its builder has the data and asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from peft_bottleneck_bench.boards.inputs import with_inputs
from peft_bottleneck_bench.boards.texts import parts
from peft_bottleneck_bench.cli import main


@pytest.mark.parametrize(
    ("kind", "example", "expected"),
    [
        ("classification", {"text": "good", "label": "a"}, [("good", "")]),
        ("classification", {"text": "x" * 700, "label": "a"}, [("x" * 600 + " …", "")]),
        (
            "ner",
            {
                "tokens": ["Ann", "Lee", "Bo", "left", "for", "Oslo", "today"],
                "tags": ["B-PER", "I-PER", "B-PER", "O", "O", "B-LOC", "O"],
            },
            [("Ann Lee", "PER"), ("Bo", "PER"), ("left for", ""), ("Oslo", "LOC"), ("today", "")],
        ),
        (
            "relation_extraction",
            {"text": "Acme hired Ann.", "head": {"start": 11, "end": 14}, "tail": {"start": 0, "end": 4}},
            [("Acme", "tail"), (" hired ", ""), ("Ann", "head"), (".", "")],
        ),
    ],
)
def test_entities_and_relations_are_marked(kind: str, example: dict[str, object], expected: object) -> None:
    assert parts(kind, example) == expected


def test_the_input_stands_beside_the_number_of_the_example() -> None:
    rows = [{"example": 1, "reference": "a"}]
    assert with_inputs(rows, None) == rows
    (row,) = with_inputs(rows, [[("no", "")], [("yes", "")]])
    assert list(row.items()) == [("example", 1), ("input", [("yes", "")]), ("reference", "a")]


def test_texts_are_on_the_page_only_if_asked_for(
    configure: Callable[..., Path], files: dict[str, str], tmp_path: Path
) -> None:
    results = tmp_path / "results"
    file = str(configure(methods=["head_only", "untuned"], seeds=[0, 1], results=str(results)))
    assert main(["run", file]) == 0
    page = results / "index.html"
    assert '"input": [[' not in page.read_text(encoding="utf-8")
    assert main(["leaderboard", str(results), "--texts", file]) == 0
    assert '"input": [[' in page.read_text(encoding="utf-8")
    assert main(["leaderboard", str(results)]) == 0
    assert '"input": [[' not in page.read_text(encoding="utf-8")
