"""What is compared with what, and what is said of the rest."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
from synthetic import write_failed_run, write_grid, write_run

from peft_bottleneck_bench import records
from peft_bottleneck_bench.boards import Board, boards
from peft_bottleneck_bench.boards.building import build, write_page
from peft_bottleneck_bench.boards.columns import columns
from peft_bottleneck_bench.boards.markdown import markdown
from peft_bottleneck_bench.boards.overview import overviews


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


def test_different_machines_are_noted(tmp_path: Path) -> None:
    record = records.read(write_run(tmp_path, "a", 0, 0.9))
    write_run(tmp_path, "b", 0, 0.9, hardware=record.hardware.model_copy(update={"device": "cuda"}))
    assert "Times and memory were taken on different machines; compare them with care." in only(tmp_path).notes


def test_average_ranks_are_over_the_same_tasks_or_not_at_all(tmp_path: Path) -> None:
    write_grid(tmp_path)
    all_boards = found(tmp_path)
    (overview,) = overviews(all_boards)
    lines = {line.method: (line.rank, line.lacking) for line in overview.lines}
    assert lines["lora"] == (None, ["synthetic_classification"])
    assert lines["full"] == (None, ["synthetic_ner"])
    assert lines["head_only"] == (None, ["synthetic_translation"])
    complete = ["houlsby", "parallel_adapter", "pfeiffer"]
    orders = [[row.method for row in board.rows if row.method in complete] for board in all_boards]
    ranks = {name: sum(1 + order.index(name) for order in orders) / 4 for name in complete}
    assert {line.method: line.rank for line in overview.lines if line.rank} == ranks
    assert [line.method for line in overview.lines[:3]] == sorted(complete, key=lambda name: ranks[name])
    answer, limit = overview.verdict
    assert answer.startswith(
        "Over 4 tasks nothing is separated: each of the 3 methods may be best (Friedman's test: p = "
    )
    assert limit.startswith(f"{overview.lines[0].method} has the best average rank, ")
    assert "Average ranks have to differ by " in limit


def test_methods_that_order_alike_on_many_tasks_are_separated_over_tasks(tmp_path: Path) -> None:
    for task in range(8):
        for method, skill in (("good", 0.95), ("fair", 0.7), ("bad", 0.3)):
            write_run(tmp_path, method, 0, skill, task=f"task {task}")
    (overview,) = overviews(found(tmp_path))
    assert [line.method for line in overview.lines] == ["good", "fair", "bad"]
    answer = "Over 8 tasks good and fair may each be best (Friedman's test: p < 0.001, then Nemenyi's)."
    assert overview.verdict[0] == answer
    assert overview.ranks is not None
    assert overview.ranks.ranks == {"good": 1, "fair": 2, "bad": 3}


def test_tasks_with_nothing_to_compare_do_not_count_over_tasks(tmp_path: Path) -> None:
    for task in ("one", "two", "begun"):
        for method, skill in (("good", 0.9), ("bad", 0.3)):
            for seed in range(1 if task == "begun" and method == "bad" else 2):
                write_run(tmp_path, method, seed, skill, task=task)
    (overview,) = overviews(found(tmp_path))
    assert overview.left_out == ["begun"]
    assert {line.method: (line.rank, line.lacking) for line in overview.lines} == {"good": (1, []), "bad": (2, [])}
    assert overview.verdict[0].startswith("Over 2 tasks nothing is separated: each of the 2 methods may be best")
    assert overview.verdict[1].startswith("good has the best average rank, 1.00.")
    assert overview.verdict[-1] == "Left out, as fewer than two methods are complete there: begun."
    without = overviews([board for board in found(tmp_path) if board.record.task != "one"])[0].verdict
    assert without[0] == "No ranking over tasks: it needs two tasks with two complete methods each."


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


def test_errors_and_scores_have_ranks_in_common(tmp_path: Path) -> None:
    for method, skill in (("a", 0.9), ("b", 0.5)):
        write_run(tmp_path, method, 0, skill)
        path = write_run(tmp_path, method, 0, skill, kind="regression")
        record = records.read(path)
        metric = record.metric.model_copy(update={"options": {"main": "mse"}, "greater_is_better": False})
        records.write(record.replace(main_metric="mse", metric=metric), path)
    (overview,) = overviews(found(tmp_path))
    assert [(line.method, line.rank) for line in overview.lines] == [("a", 1), ("b", 2)]


def test_one_complete_method_has_no_rank_over_tasks(tmp_path: Path) -> None:
    for task, others in (("one", "bc"), ("two", "de")):
        for method in ("a", *others):
            write_run(tmp_path, method, 0, 0.9, task=task)
    (overview,) = overviews(found(tmp_path))
    assert overview.ranks is None
    assert overview.verdict == ["No ranking over tasks: fewer than two methods are complete on all of them."]


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
