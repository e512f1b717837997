"""What a board says in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import synthetic
from synthetic import write_failed_run, write_run

from peft_bottleneck_bench import records
from peft_bottleneck_bench.boards import Board, boards
from peft_bottleneck_bench.boards.formatting import star
from peft_bottleneck_bench.boards.verdict import joined, remarks, verdict


def only(folder: Path) -> Board:
    (board,) = boards(records.read_all(folder)[0])
    return board


def test_a_clear_winner_is_named_with_every_gap(tmp_path: Path) -> None:
    for method, skill in (("good", 0.95), ("fair", 0.7), ("bad", 0.3)):
        for seed in range(3):
            write_run(tmp_path, method, seed, skill)
    board = only(tmp_path)
    assert board.ranking is not None
    first, second, third = verdict(board)
    assert first == "good is best: every other method is significantly worse."
    gap = board.ranking.between("good", "fair").difference
    assert second.startswith(f"fair is worse than good by {gap:.4f} (95 % interval 0.")
    assert third.startswith("bad is worse than good by 0.")
    assert second.endswith("p < 0.001).")
    assert [row.standing.may_be_best for row in board.rows if row.standing] == [True, False, False]


def test_what_is_not_separated_is_said_with_the_power_of_the_board(tmp_path: Path) -> None:
    for method in ("a", "b"):
        for seed in range(3):
            write_run(tmp_path, method, seed, 0.9)
    board = only(tmp_path)
    assert board.ranking is not None
    first, last = verdict(board)
    assert first == "Nothing is separated: each of the 2 methods may be best."
    assert last == (
        "The data do not separate this pair, which does not make them equal: with 200 test examples and 3 seeds, a "
        f"typical pair has to differ by {board.ranking.detectable:.4f} to be separated with a power of 80 %."
    )


def test_a_difference_that_no_score_can_have_is_not_asked_for(tmp_path: Path) -> None:
    """An accuracy is between 0 and 1."""
    for method, skill in (("a", 0.9), ("b", 0.5)):
        for seed in range(2):
            write_run(tmp_path, method, seed, skill, examples=4)
    board = only(tmp_path)
    assert board.ranking is not None
    assert board.ranking.detectable is not None
    assert board.ranking.detectable > 1
    assert verdict(board)[-1] == (
        "The data do not separate this pair, which does not make them equal: 4 test examples and 2 seeds are too few "
        "to separate a typical pair, however much it differs."
    )


def test_scores_that_scatter_are_not_ruled_out_and_not_called_best(tmp_path: Path) -> None:
    """`fair` is worse than `good`. `loose` has a lower mean, but two of its seeds are as good as `good`."""
    for seed in range(5):
        write_run(tmp_path, "good", seed, 0.9)
        write_run(tmp_path, "fair", seed, 0.7)
        write_run(tmp_path, "loose", seed, (0.9, 0.9, 0.1, 0.1, 0.9)[seed])
    board = only(tmp_path)
    assert board.ranking is not None
    standings = board.ranking.standings
    assert standings["loose"].mean < standings["fair"].mean
    assert standings["loose"].ranks == (1, 3)
    assert {name for name, standing in standings.items() if standing.may_be_best} == {"good"}
    assert {name for name, standing in standings.items() if standing.scattered} == {"loose"}
    first, second, *_ = verdict(board)
    assert first == ("good may be best. loose has a lower mean, but its scores scatter too much to rule it out.")
    assert second.startswith("fair is worse than good by ")
    assert [star(standings[name]) for name in ("good", "fair", "loose")] == ["★", "", "☆"]


def test_smaller_errors_are_better_in_words_too(tmp_path: Path) -> None:
    for seed in range(2):
        for method, skill in (("good", 0.9), ("bad", 0.2)):
            path = write_run(tmp_path, method, seed, skill, kind="regression")
            record = records.read(path)
            metric = record.metric.model_copy(update={"options": {"main": "mse"}, "greater_is_better": False})
            records.write(record.replace(main_metric="mse", metric=metric), path)
    first, second = verdict(only(tmp_path))
    assert first.startswith("good is best")
    assert second.startswith("bad is worse than good by ")
    assert "interval -" not in second


@pytest.mark.parametrize(("losers", "named", "summed_up"), [(7, 7, False), (9, 6, True)])
def test_many_losers_are_summed_up(losers: int, named: int, summed_up: bool, tmp_path: Path) -> None:
    write_run(tmp_path, "good", 0, 0.99)
    for number in range(losers):
        write_run(tmp_path, f"bad {number}", 0, 0.2)
    sentences = verdict(only(tmp_path))
    assert len([line for line in sentences if " is worse than good by " in line]) == named
    assert any(line.startswith("So are bad ") for line in sentences) == summed_up


def test_one_method_and_no_ranking_have_no_winner(tmp_path: Path) -> None:
    write_run(tmp_path, "alone", 0, 0.9)
    write_failed_run(tmp_path, "other", 0, "out of memory")
    board = only(tmp_path)
    assert verdict(board) == ["alone is the only complete method: there is nothing to compare it with."]
    assert remarks(board)[0] == "other is incomplete: seed 0 failed: out of memory"
    records.predictions_path(next(tmp_path.rglob("alone/*.json"))).unlink()
    assert verdict(only(tmp_path)) == []


def test_a_collapsed_run_is_named(tmp_path: Path) -> None:
    write_run(tmp_path, "sound", 0, 0.9)
    write_run(tmp_path, "constant", 0, 0.9, predictions=["joy"] * 200)
    write_run(tmp_path, "weak", 0, 0.1)
    flat = [[step, 0.7] for step in range(8)]
    write_run(tmp_path, "flat", 0, 0.9, loss_curve=flat)
    write_run(tmp_path, "untuned", 0, 0.1, trainable_parameters=0, loss_curve=[])
    board = only(tmp_path)
    found = {row.method: row.collapses for row in board.rows if row.collapses}
    assert board.baseline is not None
    assert board.baseline.answer == "'neutral'"
    assert found.keys() == {"constant", "weak", "flat"}
    assert found["constant"] == ["seed 0 predicts 'joy' for every example"]
    assert found["flat"] == ["the training loss of seed 0 did not fall"]
    (weak,) = found["weak"]
    assert weak.endswith(f"no better than 'neutral' for every example ({board.baseline.score:.4f})")
    assert "constant collapsed: seed 0 predicts 'joy' for every example" in remarks(board)


def test_a_tagger_that_finds_nothing_has_collapsed(tmp_path: Path) -> None:
    tags = [["O"]] * 200
    path = write_run(tmp_path, "sound", 0, 0.9, kind="ner")
    lengths = [len(row.reference) for row in records.read_predictions(records.predictions_path(path))]  # type: ignore[arg-type]
    tags = [["O"] * length for length in lengths]
    write_run(tmp_path, "silent", 0, 0.9, kind="ner", predictions=tags)
    board = only(tmp_path)
    assert [(row.method, row.collapses) for row in board.rows if row.collapses] == [
        ("silent", ["seed 0 predicts no entity for every example"])
    ]


@pytest.mark.parametrize(("main", "choice"), [("accuracy", 2), ("accuracy_norm", 0)])
def test_the_choice_that_is_scored_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, main: str, choice: int
) -> None:
    """A prediction of multiple choice is a pair: by likelihood, and by likelihood for its length."""

    def right(generator: object, references: Sequence[int], skill: float) -> list[list[int]]:
        return [[number, number] for number in references]

    forms = ("multiple_choice", lambda generator, n: [number % 3 for number in range(n)], right)
    monkeypatch.setitem(synthetic.KINDS, "multiple_choice", forms)
    scored = {"name": "multiple_choice", "options": {"main": main}, "signature": "s", "greater_is_better": True}
    fields = {"kind": "multiple_choice", "main_metric": main, "metric": scored}
    write_run(tmp_path, "sound", 0, 1.0, **fields)
    constant = [[2, number % 2] if main == "accuracy" else [number % 2, 0] for number in range(200)]
    write_run(tmp_path, "constant", 0, 0.3, predictions=constant, **fields)
    assert [(row.method, row.collapses) for row in only(tmp_path).rows if row.collapses] == [
        ("constant", [f"seed 0 predicts choice {choice} for every example"])
    ]


@pytest.mark.parametrize(("names", "text"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_names_are_joined_as_in_a_sentence(names: list[str], text: str) -> None:
    assert joined(names) == text


@pytest.mark.parametrize("sign", [1, -1], ids=["greater", "smaller"])
def test_a_training_that_ended_before_its_plateau_is_named(tmp_path: Path, sign: int) -> None:
    for method, before in (("done", 0.79), ("short", 0.4)):
        for seed in range(3):
            path = write_run(tmp_path, method, seed, 0.9)
            record = records.read(path)
            metric = record.metric.model_copy(update={"greater_is_better": sign > 0})
            curve = [(100, sign * 0.1), (200, sign * before), (300, sign * 0.8)]
            records.write(record.replace(metric=metric, validation_curve=curve), path)
    board = only(tmp_path)
    assert board.ranking is not None
    assert board.ranking.detectable is not None
    assert 0.01 < board.ranking.detectable < 0.4
    assert [remark for remark in remarks(board) if "improving" in remark] == [
        "Still improving on validation in the last evaluation, in the mean over seeds: short by 0.4000. Longer "
        "training may change places."
    ]
