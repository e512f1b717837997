"""Tiers for tables of scores that this harness did not make."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from peft_bottleneck_bench.boards.score_table import Mean, read_scores, render_scores, score_boards
from peft_bottleneck_bench.boards.verdict import in_words
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
    assert "a has the best average rank, 1.00." in out
    assert out.count("One seed per method") == 8


def test_task_and_seed_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("score,method,example\n" + "".join(f"{i % 3 / 2},{m},{i}\n" for m in "ab" for i in range(50)))
    (board,) = score_boards(read_scores(path))
    assert (board.task, board.seeds, list(board.ranking.standings)) == ("", 1, ["a", "b"])


def write_totals(path: Path, chances: dict[str, float], examples: int, seeds: int = 1) -> Path:
    generator = np.random.default_rng(1)
    lines = [
        f"{method},{seed},{generator.binomial(examples, chance)},{examples}"
        for method, chance in chances.items()
        for seed in range(seeds)
    ]
    path.write_text("\n".join(["method,seed,correct,examples", *lines]))
    return path


def test_totals_have_the_binomial_interval(tmp_path: Path) -> None:
    (board,) = score_boards(read_scores(write_totals(tmp_path / "t.csv", {"a": 0.8, "b": 0.3}, 1000)))
    assert (board.totals, board.examples) == (True, 1000)
    standing = board.ranking.standings["a"]
    assert standing.interval is not None
    half = (standing.interval[1] - standing.interval[0]) / 2
    expected = 1.96 * (standing.mean * (1 - standing.mean) / 1000) ** 0.5
    assert half == pytest.approx(expected, rel=0.1)
    assert board.ranking.standings["b"].tier == 2


def test_totals_of_equal_methods_are_tied(tmp_path: Path) -> None:
    chances = {str(number): 0.5 for number in range(12)}
    (board,) = score_boards(read_scores(write_totals(tmp_path / "t.csv", chances, 400)))
    assert {standing.tier for standing in board.ranking.standings.values()} == {1}


def test_totals_of_nothing_right_stay_within_the_limits(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("method,correct,examples\na,1,500\nb,0,500\nc,500,500\n")
    (board,) = score_boards(read_scores(path))
    for standing in board.ranking.standings.values():
        assert standing.interval is None or 0 <= standing.interval[0] <= standing.interval[1] <= 1


def test_what_the_documents_say_of_published_totals() -> None:
    root = Path(__file__).parents[3]
    (board,) = score_boards(read_scores(root / "benchmarks" / "scores" / "peft_metamathqa.csv"))
    words = in_words(board.ranking, examples=board.examples, seeds=board.seeds)
    best = re.split(r", | and ", words[0].partition(" may each be best")[0])
    scores = [board.ranking.standings[name].mean for name in best]
    tied = re.search(r"do not separate (\d+) of (\d+) pairs", " ".join(words))
    gap = re.search(r"has to differ by ([\d.]+)", " ".join(words))
    assert tied is not None
    assert gap is not None
    text = " ".join((root / "docs" / "leaderboard" / "reading.md").read_text(encoding="utf-8").split())
    assert f"Of its {len(board.ranking.standings)} methods {len(best)} may be best" in text
    assert f"from {scores[0]:.4f} down to {min(scores):.4f}" in text
    assert f"differ by {gap[1]} to be separated. {tied[1]} of the {tied[2]} pairs stay tied." in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("method,score\na,1\n", "no column example: it has method, score"),
        (
            "",
            "no column method, example, score: it has none, and needs method, example, score, or method, c",
        ),
        ("method,correct,examples\na,5,4\n", "line 2: 5 correct of 4 examples"),
        ("method,correct,examples\na,0,0\n", "line 2: 0 correct of 0 examples"),
        ("method,correct,examples\na,0.5,4\n", "line 2: correct is '0.5': expected a whole number"),
        ("method,correct,examples\na,3,4\na,2,4\n", "line 3: the total of this method, task and seed is given twice"),
        ("method,correct,examples\na,3,4\nb,2,5\n", "b: other examples than a: '4' is in one of them alone"),
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
        render_scores(path)
    (found,) = error.value.messages
    assert found.startswith(str(path))
    assert message in found


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaderboard", "--from", str(tmp_path / "no.csv")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'no.csv'}: cannot be read: no such file or directory\n"
