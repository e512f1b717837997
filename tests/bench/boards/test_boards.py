"""What is compared with what, and what is said of the rest."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from synthetic import found, only, write_failed_run, write_grid, write_run

from peft_bottleneck_bench import records
from peft_bottleneck_bench.boards.building import build
from peft_bottleneck_bench.boards.columns import columns
from peft_bottleneck_bench.boards.verdict import remarks


def test_a_board_has_ranked_methods_first_and_says_why_others_are_not(tmp_path: Path) -> None:
    write_grid(tmp_path)
    classification = found(tmp_path)[0]
    assert classification.title == "synthetic_classification · all-MiniLM-L6-v2"
    assert [row.method for row in classification.rows][-2:] == ["head_only", "lora"]
    last, lora = classification.rows[-2:]
    assert last.standing is not None
    assert (last.standing.tier, last.standing.ranks) == (2, (5, 5))
    assert lora.problem == "seed 1 failed: the loss is NaN at step 40"
    assert lora.standing is not None  # its finished runs are shown
    assert (lora.standing.tier, lora.standing.ranks, lora.standing.interval) == (None, None, None)
    assert found(tmp_path)[1].rows[-1].problem == "no run with seed 2"


def test_runs_on_other_data_are_never_on_one_board(tmp_path: Path) -> None:
    write_run(tmp_path, "houlsby", 0, 0.9, examples=200)
    write_run(tmp_path, "lora", 0, 0.9, examples=100)
    assert [(board.title, [row.method for row in board.rows]) for board in found(tmp_path)] == [
        ("synthetic_classification · all-MiniLM-L6-v2 · 2000 / 100 / 100 examples, accuracy", ["lora"]),
        ("synthetic_classification · all-MiniLM-L6-v2 · 2000 / 200 / 200 examples, accuracy", ["houlsby"]),
    ]


def test_times_on_a_shared_machine_are_not_shown(tmp_path: Path) -> None:
    for seed, share in enumerate((0.0, 0.45)):
        write_run(tmp_path, "houlsby", seed, 0.9, others_cpu_share=share)
        write_run(tmp_path, "lora", seed, 0.8, others_cpu_share=0.02)
    board = only(tmp_path)
    (time,) = (column for column in columns(board) if column.name == "train time")
    shown = {row.method: (time.cell(row), time.key(row)) for row in board.rows}
    assert shown["houlsby"] == ("shared machine", None)
    assert shown["lora"][1] == pytest.approx(60, abs=60)
    assert shown["lora"][0].endswith(" s")


def test_a_board_without_train_times_says_why_and_has_no_column_of_them(tmp_path: Path) -> None:
    write_run(tmp_path, "houlsby", 0, 0.9, others_cpu_share=0.45)
    write_run(tmp_path, "untuned", 0, 0.3, train_seconds=0.0)
    board = only(tmp_path)
    assert "train time" not in [column.name for column in columns(board)]
    assert remarks(board)[-1] == "No train times: other processes used the machine during the runs."
    write_run(tmp_path, "lora", 0, 0.9)
    board = only(tmp_path)
    assert "train time" in [column.name for column in columns(board)]
    assert not any(remark.startswith("No train times") for remark in remarks(board))


def test_settings_tell_apart_what_has_one_name(tmp_path: Path) -> None:
    for rate in (1e-3, 3e-4):
        for seed in range(2):
            training = {"learning_rate": rate, "logging_steps": seed}  # the latter decides no score
            configuration = {"method": "houlsby", "seed": seed, "training": training}
            write_run(tmp_path, "houlsby", seed, 0.9, configuration=configuration, run=f"{rate}-{seed}")
    rows = only(tmp_path).rows
    assert sorted(row.method for row in rows) == ["houlsby (learning_rate 0.0003)", "houlsby (learning_rate 0.001)"]
    assert [len(row.runs) for row in rows] == [2, 2]


def test_of_two_runs_with_one_seed_the_finished_and_last_counts(tmp_path: Path) -> None:
    old = write_run(tmp_path, "houlsby", 0, 0.5, run="a", finished="2026-01-01T00:00:00Z")
    new = write_run(tmp_path, "houlsby", 0, 0.5, run="b", finished="2026-01-02T00:00:00Z")
    failed = write_failed_run(tmp_path, "houlsby", 0, "out of memory", run="c", finished="2026-01-03T00:00:00Z")
    assert len({old, new, failed}) == 3
    (row,) = only(tmp_path).rows
    assert list(row.runs) == [new]
    assert row.problem is None


def test_smaller_errors_rank_first(tmp_path: Path) -> None:
    for seed in range(2):
        for method, skill in (("good", 0.9), ("bad", 0.2)):
            path = write_run(tmp_path, method, seed, skill, kind="regression")
            record = records.read(path)
            metric = record.metric.model_copy(update={"options": {"main": "mse"}, "greater_is_better": False})
            records.write(record.replace(main_metric="mse", metric=metric), path)
    board = only(tmp_path)
    assert [(row.method, row.standing and row.standing.tier) for row in board.rows] == [("good", 1), ("bad", 2)]


def test_one_seed_is_ranked_with_a_warning_and_without_a_deviation(tmp_path: Path) -> None:
    write_run(tmp_path, "good", 0, 0.9)
    write_run(tmp_path, "bad", 0, 0.3)
    board = only(tmp_path)
    assert [(row.standing.std, row.standing.tier) for row in board.rows if row.standing] == [(None, 1), (None, 2)]
    assert board.notes == ["One seed per method: another training run may order them otherwise."]


def test_different_machines_are_noted(tmp_path: Path) -> None:
    record = records.read(write_run(tmp_path, "a", 0, 0.9))
    write_run(tmp_path, "b", 0, 0.9, hardware=record.hardware.model_copy(update={"device": "cuda"}))
    assert "Times and memory were taken on different machines; compare them with care." in only(tmp_path).notes


def test_a_board_says_its_budget_and_what_a_search_found(tmp_path: Path) -> None:
    def run(method: str, rate: float, found: int, *, met: bool) -> None:
        configuration = {
            "method": method,
            "seed": 0,
            "options": {"reduction_factor": 16},
            "training": {"learning_rate": rate},
            "search": {"trials": 4, "space": {"learning_rate": [rate, 1.0]}, "winner": 1},
            "budget": {"asked": 112000, "found": found, "size": 16, "met": met},
        }
        write_run(tmp_path, method, 0, 0.9, configuration=configuration)

    run("houlsby", 0.003, 111000, met=True)
    run("lora", 0.001, 112900, met=True)
    run("ia3", 0.01, 7000, met=False)
    write_run(tmp_path, "untuned", 0, 0.2)
    notes = only(tmp_path).notes
    assert (
        "Equal budgets: 112,000 trained parameters for each method, task heads apart. Not at the budget: ia3, untuned."
        in notes
    )
    (search,) = (note for note in notes if note.startswith("Settings: the best on validation of 4 trials"))
    assert "houlsby learning_rate 0.003" in search
    assert "lora learning_rate 0.001" in search
    assert "untuned" not in search


def test_mixed_package_versions_are_noted(tmp_path: Path) -> None:
    write_run(tmp_path, "a", 0, 0.9, versions={"torch": "2.13.0", "peft": "0.21"})
    write_run(tmp_path, "b", 0, 0.9, versions={"torch": "2.12.0", "peft": "0.21"})
    note = "The runs used different package versions (torch 2.12.0 and 2.13.0), which may change scores."
    assert note in only(tmp_path).notes


def test_boards_of_equal_titles_keep_their_own_pictures(tmp_path: Path) -> None:
    for method, data in (("a", "1"), ("b", "2")):
        record = records.read(write_run(tmp_path, method, 0, 0.9))
        write_run(tmp_path, method, 0, 0.9, data=record.data.model_copy(update={"sha256": data}))
    build(tmp_path)
    pictures = re.findall(r"\((pictures/[^)]*)\)", (tmp_path / "LEADERBOARD.md").read_text())
    assert len(pictures) == len(set(pictures)) == 5  # two of each board, and the overview
