"""Pictures that say what they should, whatever the names and costs."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from synthetic import write_failed_run, write_run

from peft_bottleneck_bench import records
from peft_bottleneck_bench.boards import boards, pictures
from peft_bottleneck_bench.boards.overview import overviews


def test_front_leaves_out_what_another_matches_for_less() -> None:
    points = [(1.0, 0.5), (2.0, 0.8), (2.0, 0.7), (3.0, 0.8), (4.0, 0.9), (5.0, 0.6)]
    assert pictures.pareto_front(points, greater_is_better=True) == [(1.0, 0.5), (2.0, 0.8), (4.0, 0.9)]
    assert pictures.pareto_front(points, greater_is_better=False) == [(1.0, 0.5)]
    assert pictures.pareto_front([], greater_is_better=True) == []


def test_files_are_drawn_alike_each_time(tmp_path: Path) -> None:
    write_run(tmp_path, "houlsby", 0, 0.9)
    write_run(tmp_path, "untuned", 0, 0.3, trainable_parameters=0, train_seconds=0.0, loss_curve=[])
    (board,) = boards(records.read_all(tmp_path)[0])
    styles = pictures.styles([board])
    written = pictures.write(board, styles, tmp_path / "one" / "x")
    assert sorted(path.name for path in written) == ["x-cost.png", "x-cost.svg", "x-loss.png", "x-loss.svg"]
    again = pictures.write(board, styles, tmp_path / "two" / "x")
    assert [path.read_bytes() for path in written] == [path.read_bytes() for path in again]


def test_each_method_has_its_own_panel_of_losses_and_its_own_colour(tmp_path: Path) -> None:
    names = ("houlsby", "pfeiffer", "parallel_adapter", "lora", "ia3", "bias_tuning", "full", "head_only", "prefix")
    for name in names:
        write_run(tmp_path, name, 0, 0.9)
    write_run(tmp_path, "untuned", 0, 0.3, loss_curve=[])
    (board,) = boards(records.read_all(tmp_path)[0])
    styles = pictures.styles([board])
    assert len({colour for colour, _ in styles.values()}) == 10
    written = pictures.write(board, styles, tmp_path / "x")
    (losses,) = (path.read_text() for path in written if path.name == "x-loss.svg")
    for name in names:
        assert losses.count(f"<!-- {name} -->") == 1
        assert f"fill: {styles[name][0]}" in losses  # the band, there alone
    assert "<!-- untuned -->" not in losses


def test_costs_that_are_known_of_one_method_alone_are_left_out(tmp_path: Path) -> None:
    for name in ("houlsby", "lora"):
        write_run(tmp_path, name, 0, 0.9, others_cpu_share=0.45)
    write_run(tmp_path, "untuned", 0, 0.3, train_seconds=0.0)
    (board,) = boards(records.read_all(tmp_path)[0])
    written = pictures.write(board, pictures.styles([board]), tmp_path / "x")
    (costs,) = (path.read_text() for path in written if path.name == "x-cost.svg")
    assert "<!-- peak memory -->" in costs
    assert "<!-- train time -->" not in costs


def test_an_overview_marks_who_may_be_best(tmp_path: Path) -> None:
    for task in ("words", "tones"):
        for method, skill in (("good", 0.9), ("fair", 0.88), ("bad", 0.2)):
            write_run(tmp_path, method, 0, skill, task=task)
    (overview,) = overviews(boards(records.read_all(tmp_path)[0]))
    written = pictures.write_overview(overview, tmp_path / "x")
    assert [path.name for path in written] == ["x.png", "x.svg"]
    drawn = written[1].read_text()  # texts are outlines, each with a comment
    for words in (
        "words",
        "tones",
        "good",
        "fair",
        "bad",
        "all-MiniLM-L6-v2: mean and 95 % interval; filled: may be best",
    ):
        assert f"<!-- {words} -->" in drawn, words
    pictures.write_overview(overview, tmp_path / "again")
    assert written[0].read_bytes() == (tmp_path / "again.png").read_bytes()


def test_a_board_without_a_finished_run_has_no_pictures(tmp_path: Path) -> None:
    write_failed_run(tmp_path, "houlsby", 0, "out of memory")
    (board,) = boards(records.read_all(tmp_path)[0])
    assert pictures.write(board, pictures.styles([board]), tmp_path / "x") == []


@pytest.mark.parametrize("method", ["_hidden", "cost $x^2$", "<script>alert(1)</script>", "a & b"])
def test_names_are_drawn_as_they_are(tmp_path: Path, method: str) -> None:
    write_run(tmp_path, method.replace("/", "%"), 0, 0.9)
    (board,) = boards(records.read_all(tmp_path)[0])
    cost = next(
        path for path in pictures.write(board, pictures.styles([board]), tmp_path / "x") if path.suffix == ".svg"
    )
    assert "<script" not in cost.read_text()


@pytest.mark.parametrize("method", ["x" * 255, "\x1b[31m", "\x00", "模型 नमस्ते", "\u202eabc"])
def test_odd_names_leave_sound_files(tmp_path: Path, method: str) -> None:
    path = write_run(tmp_path, "odd", 0, 0.9)
    records.write(records.read(path).replace(method=method, main_metric="accuracy"), path)
    (board,) = boards(records.read_all(tmp_path)[0])
    for picture in pictures.write(board, pictures.styles([board]), tmp_path / "x"):
        if picture.suffix == ".svg":
            ET.parse(picture)


def test_scores_out_of_range_are_drawn(tmp_path: Path) -> None:
    path = write_run(tmp_path, "huge", 0, 0.9)
    scores = {"accuracy": 1e15}
    records.write(records.read(path).replace(metrics={"validation": scores, "test": scores}), path)
    write_run(tmp_path, "sound", 0, 0.9)
    (board,) = boards(records.read_all(tmp_path)[0])
    assert len(pictures.write(board, pictures.styles([board]), tmp_path / "x")) == 4
