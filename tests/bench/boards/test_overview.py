"""What all tasks of a model say together."""

from __future__ import annotations

from pathlib import Path

from synthetic import found, write_grid, write_run

from peft_bottleneck_bench import records
from peft_bottleneck_bench.boards.overview import overviews


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
