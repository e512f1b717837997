"""Records that cannot be ranked: they are shown with the reason, and never end a leaderboard."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
from synthetic import found, only, write_run

from peft_bottleneck_bench import records
from peft_bottleneck_bench.boards.building import build, write_page
from peft_bottleneck_bench.boards.markdown import markdown
from peft_bottleneck_bench.boards.overview import overviews


@pytest.mark.parametrize("fault", ["missing", "unnamed", "broken", "of other examples"])
def test_a_board_without_sound_predictions_is_shown_unranked_with_the_reason(tmp_path: Path, fault: str) -> None:
    write_run(tmp_path, "a", 0, 0.9)
    path = write_run(tmp_path, "b", 0, 0.3)
    side = records.predictions_path(path)
    if fault == "missing":
        side.unlink()
    elif fault == "unnamed":
        records.write(records.read(path).replace(predictions=None), path)
    elif fault == "broken":
        side.write_bytes(side.read_bytes()[:50])
    else:
        records.write_predictions(reversed(records.read_predictions(side)[:-1]), side)
    board = only(tmp_path)
    assert board.ranking is None
    (note,) = board.notes
    assert note.startswith("Not ranked: ")
    assert "b, seed 0: " in note
    assert all(row.standing and row.standing.tier is None for row in board.rows)


def test_a_metric_that_knows_no_examples_is_shown_unranked(tmp_path: Path) -> None:
    path = write_run(tmp_path, "a", 0, 0.9)
    record = records.read(path)
    records.write(record.replace(metric=record.metric.model_copy(update={"name": "bertscore"})), path)
    assert only(tmp_path).notes == [
        "Not ranked: the metric 'bertscore' cannot be resampled by example. The means are sorted, and say nothing of "
        "chance."
    ]


def test_without_predictions_means_are_sorted_and_the_reason_is_in_words(tmp_path: Path) -> None:
    for method, skill in (("bad", 0.3), ("good", 0.9), ("fair", 0.6)):
        path = write_run(tmp_path, method, 0, skill)
        records.predictions_path(path).unlink()
    board = only(tmp_path)
    assert [row.method for row in board.rows] == ["good", "fair", "bad"]
    (note,) = board.notes
    assert re.fullmatch(r"Not ranked: (.+ is missing; ){2}.+ is missing\. The means are sorted, and .*", note)
    assert "Errno" not in note


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"metric": {"options": {"main": 5}}}, "does not take the options of the record"),
        ({"metric": {"options": {"main": "accuracy", "nonsense": [1]}}}, "does not take the options of the record"),
        ({"metric": {"options": {"main": "macro_f1"}}}, "with these options gives no 'accuracy'"),
        ({"predictions": "nowhere.gz"}, "nowhere.gz is missing"),
        ({"predictions": [["x"]]}, "prediction 0 is ['x']: expected "),
        ({"predictions": [None]}, "prediction 0 is None: expected "),
    ],
)
def test_odd_records_are_shown_unranked_with_the_reason(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    write_run(tmp_path, "sound", 0, 0.9)
    path = write_run(tmp_path, "odd", 0, 0.9)
    record = records.read(path)
    if isinstance(changes.get("predictions"), list):
        rows = records.read_predictions(records.predictions_path(path))
        odd = [row.model_copy(update={"prediction": changes["predictions"][0]}) for row in rows]
        records.write_predictions(odd, records.predictions_path(path))
    elif "metric" in changes:
        for file, other in records.read_all(tmp_path)[0].items():
            records.write(other.replace(metric=other.metric.model_copy(update=changes["metric"])), file)
    else:
        records.write(record.replace(**changes), path)
    board = only(tmp_path)
    assert board.ranking is None
    assert reason in board.notes[0]
    build(tmp_path)


def test_huge_numbers_are_shown_unranked(tmp_path: Path) -> None:
    for method in ("a", "b"):
        path = write_run(tmp_path, method, 0, 0.9, kind="regression", examples=50)
        rows = records.read_predictions(records.predictions_path(path))
        huge = [row.model_copy(update={"prediction": 1e300 * (row.index + 1)}) for row in rows]
        records.write_predictions(huge, records.predictions_path(path))
    assert "too large" in only(tmp_path).notes[0]
    build(tmp_path)


def test_random_records_never_end_a_leaderboard(tmp_path: Path) -> None:
    """Valid records whose fields and predictions do not fit each other, and files cut or changed at random."""
    generator = random.Random(0)
    for number, kind in enumerate(["classification", "ner", "regression", "translation"] * 3):
        path = write_run(tmp_path, f"m{number}", 0, 0.9, kind=kind, task=f"task {number % 5}", examples=30)
        record = records.read(path)
        other = generator.choice(["classification", "ner", "regression", "translation", "multilabel_classification"])
        side = records.predictions_path(path)
        odd: list[Any] = [None, [], {}, "x", 1, 1e12, True, ["O"], [["a"]], "", "B-", -1]
        rows = [
            row.model_copy(update={generator.choice(["reference", "prediction"]): generator.choice(odd)})
            if generator.random() < 0.3
            else row
            for row in records.read_predictions(side)
        ]
        if number % 2:
            records.write_predictions(rows, side)
        if number % 3 == 0:
            records.write(record.replace(kind=other, loss_curve=[[5, 1e14], [5, -1e14], [1, 0.0]]), path)
        content = bytearray(side.read_bytes())
        if number % 4 == 3:
            content[generator.randrange(len(content))] ^= 255
            side.write_bytes(content)
    write_page(tmp_path)
    all_boards = found(tmp_path)
    assert markdown(all_boards, overviews(all_boards)).count("\n## ") == len(all_boards) + 1
