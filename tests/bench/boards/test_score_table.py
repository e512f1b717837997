"""Tiers for tables of scores that this harness did not make."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from peft_bottleneck_bench.boards.score_table import Mean, read_scores, score_boards
from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.statistics import Sample, rank, resampled_scores


def write(path: Path, chances: dict[str, float], *, tasks: int = 1, seeds: int = 2, examples: int = 300) -> Path:
    generator = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["method", "task", "seed", "example", "score"])
        for task in range(tasks):
            for method, chance in chances.items():
                for seed in range(seeds):
                    right = generator.random(examples) < chance
                    table.writerows([method, f"t{task}", seed, index, int(ok)] for index, ok in enumerate(right))
    return path


def test_a_table_of_right_and_wrong_is_ranked_as_accuracy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "scores.csv", {"good": 0.9, "same": 0.9, "bad": 0.5})
    (board,) = score_boards(read_scores(path))
    assert (board.task, board.examples, board.seeds) == ("t0", 300, 2)
    assert {name: standing.tier for name, standing in board.ranking.standings.items()} == {
        "good": 1,
        "same": 1,
        "bad": 2,
    }
    with path.open() as file:
        rows = list(csv.DictReader(file))
    scores = {
        name: np.array(
            [[float(r["score"]) for r in rows if (r["method"], r["seed"]) == (name, seed)] for seed in "01"]
        )
        for name in ("good", "same", "bad")
    }
    drawn = resampled_scores(Mean(), [0] * 300, [run.tolist() for method in scores.values() for run in method])
    samples = {
        name: Sample(runs.mean(axis=1), drawn[2 * place : 2 * place + 2], runs.tolist())
        for place, (name, runs) in enumerate(scores.items())
    }
    assert rank(samples) == board.ranking
    assert main(["leaderboard", "--from", str(path)]) == 0
    out = capsys.readouterr().out
    assert "good and same may each be best" in out or "same and good may each be best" in out
    assert "bad is worse than" in out
    assert list(tmp_path.iterdir()) == [path]  # nothing is written


def test_errors_rank_the_other_way(tmp_path: Path) -> None:
    path = write(tmp_path / "scores.csv", {"wrong": 0.9, "right": 0.2})
    (board,) = score_boards(read_scores(path), greater_is_better=False)
    assert list(board.ranking.standings) == ["right", "wrong"]


def test_several_tasks_have_average_ranks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "scores.csv", {"a": 0.95, "b": 0.7, "c": 0.3}, tasks=8, seeds=1)
    assert main(["leaderboard", "--from", str(path)]) == 0
    out = capsys.readouterr().out
    assert "a has the best average rank: 1.00 over 8 tasks." in out
    assert out.count("One seed per method") == 8


def test_task_and_seed_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("score,method,example\n" + "".join(f"{i % 3 / 2},{m},{i}\n" for m in "ab" for i in range(50)))
    (board,) = score_boards(read_scores(path))
    assert (board.task, board.seeds, list(board.ranking.standings)) == ("", 1, ["a", "b"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("method,score\na,1\n", "no column example: it has method, score"),
        ("", "no column method, example, score: it has none"),
        ("method,example,score\n", "no rows"),
        ("method,example,score\na,1,good\n", "line 2: score is 'good': expected a number"),
        ("method,example,score\na,1,nan\n", "line 2: score is 'nan': expected a number"),
        ("method,example,score\na,1,1e300\n", "line 2: score is '1e300': expected a number"),
        ("method,example,score\na,1\n", "line 2: no score"),
        ("method,example,score\na,1,1\na,1,0\n", "line 3: example '1' of this method, task and seed is given twice"),
        ('method,example,score\n"a,1,1\n', "not a CSV file in UTF-8"),
        ("method,example,score\na,1,1\na,2,1\nb,1,1\n", "b: other examples than a: '2' is in one of them alone"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(content)
    with pytest.raises(UserError) as error:
        score_boards(read_scores(path))
    (found,) = error.value.messages
    assert message in found


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaderboard", "--from", str(tmp_path / "no.csv")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'no.csv'}: cannot be read: no such file or directory\n"
