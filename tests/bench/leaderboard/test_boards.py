"""What is compared with what, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import write_failed_run, write_grid, write_run

from peft_bottleneck_bench import records
from peft_bottleneck_bench.leaderboard import Board, boards
from peft_bottleneck_bench.leaderboard.overview import overviews


def found(folder: Path) -> list[Board]:
    return boards(records.read_all(folder)[0])


def only(folder: Path) -> Board:
    (board,) = found(folder)
    return board


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
    assert path.stem in note
    assert all(row.standing and row.standing.tier is None for row in board.rows)


def test_a_metric_that_knows_no_examples_is_shown_unranked(tmp_path: Path) -> None:
    path = write_run(tmp_path, "a", 0, 0.9)
    record = records.read(path)
    records.write(record.replace(metric=record.metric.model_copy(update={"name": "bertscore"})), path)
    assert only(tmp_path).notes == ["Not ranked: the metric 'bertscore' cannot be resampled by example."]


def test_different_machines_are_noted(tmp_path: Path) -> None:
    record = records.read(write_run(tmp_path, "a", 0, 0.9))
    write_run(tmp_path, "b", 0, 0.9, hardware=record.hardware.model_copy(update={"device": "cuda"}))
    assert "Times and memory were taken on different machines; compare them with care." in only(tmp_path).notes


def test_means_are_over_the_same_tasks_or_not_at_all(tmp_path: Path) -> None:
    write_grid(tmp_path)
    all_boards = found(tmp_path)
    (overview,) = overviews(all_boards)
    means = {line.method: (line.mean, line.lacking) for line in overview.lines}
    assert means["lora"] == (None, ["synthetic_classification"])
    assert means["full"] == (None, ["synthetic_ner"])
    assert means["head_only"] == (None, ["synthetic_translation"])
    scores = [row.standing.mean for b in all_boards for row in b.rows if row.method == "houlsby" and row.standing]
    per_cent = [100 * score for score in scores[:3]] + scores[3:]  # BLEU is in per cent already
    assert means["houlsby"] == (pytest.approx(sum(per_cent) / 4), [])
    assert [line.mean for line in overview.lines[:3]] == sorted(
        (line.mean for line in overview.lines[:3]), reverse=True
    )


def test_errors_have_no_common_scale_with_scores(tmp_path: Path) -> None:
    write_run(tmp_path, "a", 0, 0.9)
    path = write_run(tmp_path, "a", 0, 0.9, kind="regression")
    record = records.read(path)
    metric = record.metric.model_copy(update={"options": {"main": "mse"}, "greater_is_better": False})
    records.write(record.replace(main_metric="mse", metric=metric), path)
    (overview,) = overviews(found(tmp_path))
    assert overview.unit is None
    assert overview.lines[0].mean is None
