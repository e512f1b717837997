"""One pair against each other, by the leaderboard's own statistics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from synthetic import write_run

from peft_bottleneck_bench import records
from peft_bottleneck_bench.boards.boards import boards
from peft_bottleneck_bench.boards.comparing import compare
from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.errors import UserError


def write(folder: Path, method: str, skill: float, seeds: tuple[int, ...] = (0, 1, 2), **fields: object) -> None:
    for seed in seeds:
        write_run(folder, method, seed, skill, **fields)  # type: ignore[arg-type]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for method, skill in (("houlsby", 0.95), ("pfeiffer", 0.95), ("head_only", 0.5)):
        write(tmp_path / "results", method, skill)
    return tmp_path / "results"


def refusal(*arguments: str | Path, task: str | None = None) -> tuple[str, ...]:
    a, b, results = arguments
    with pytest.raises(UserError) as error:
        compare(str(a), str(b), Path(results), task)
    return error.value.messages


def test_methods_are_compared_as_their_board_does(results: Path) -> None:
    (board,) = boards(records.read_all(results)[0])
    assert board.ranking is not None
    for a, b in (("houlsby", "head_only"), ("head_only", "houlsby"), ("houlsby", "pfeiffer")):
        ((one,), refused) = compare(a, b, results)
        assert refused == []
        pair = board.ranking.between(a, b)
        assert (one.difference, one.interval) == (pair.difference, pair.interval)
        assert (one.p_value, one.corrected) == (pair.p_value, pair.corrected)
        assert one.standings == (board.ranking.standings[a], board.ranking.standings[b])
        assert (one.pairs, one.seeds, one.examples) == (3, (0, 1, 2), 200)


def test_a_gap_is_told_and_its_interval_holds_the_difference(results: Path) -> None:
    ((one,), _) = compare("houlsby", "head_only", results)
    assert one.interval is not None
    assert 0 < one.interval[0] < one.difference < one.interval[1]
    assert one.verdict.startswith("houlsby is better by 0.")
    ((other,), _) = compare("head_only", "houlsby", results)
    assert other.verdict == one.verdict
    assert other.difference == -one.difference
    assert other.interval == (-one.interval[1], -one.interval[0])


def test_a_difference_that_may_be_chance_is_a_tie(results: Path) -> None:
    ((one,), _) = compare("houlsby", "pfeiffer", results)
    assert one.interval is not None
    assert one.interval[0] < 0 < one.interval[1]
    assert one.verdict == "a tie: the data cannot separate them"


def test_less_is_better_where_the_metric_says_so(tmp_path: Path) -> None:
    for method, skill in (("houlsby", 0.95), ("head_only", 0.3)):
        write(tmp_path, method, skill, kind="regression")
    ((one,), _) = compare("houlsby", "head_only", tmp_path)
    assert (one.difference < 0) == (not one.greater_is_better)
    assert one.verdict.startswith("houlsby is better by ")


def test_folders_are_compared_method_by_method(results: Path, tmp_path: Path) -> None:
    after = tmp_path / "after"
    for method, skill in (("houlsby", 0.6), ("lora", 0.9)):
        write(after, method, skill)
    ((one,), refused) = compare(str(results), str(after), Path("unused"))
    assert one.names == (f"{results}: houlsby", f"{after}: houlsby")
    assert one.better == 0
    assert one.pairs == 1
    assert refused == []
    alone = after / "synthetic_classification" / "all-MiniLM-L6-v2" / "lora"
    ((other,), _) = compare("houlsby", str(alone), results)  # the only method there
    assert other.names == ("houlsby", f"{alone}: lora")
    assert other.seeds == (0, 1, 2)


def test_what_differs_is_told(results: Path) -> None:
    write(results, "lora", 0.95, seeds=(0, 1))
    ((one,), _) = compare("lora", "houlsby", results)
    assert one.seeds == (0, 1)
    assert one.notes == ["On common seeds alone: lora finished 0, 1, houlsby 0, 1, 2."]
    assert one.pairs == 1


def test_other_data_are_told_and_other_examples_refused(results: Path, tmp_path: Path) -> None:
    record = next(iter(records.read_all(results)[0].values()))
    more = record.data.model_copy(update={"counts": records.Counts(train=4000, validation=200, test=200)})
    write(tmp_path / "more", "houlsby", 0.95, data=more)
    ((one,), _) = compare(str(results), str(tmp_path / "more"), results)
    assert one.notes == ["The data differ, the test examples do not: 2000 / 200 / 200 and 4000 / 200 / 200 examples."]
    write(tmp_path / "other", "houlsby", 0.95, examples=150)
    nothing, reason = refusal(results, tmp_path / "other", results)
    assert nothing == "nothing to compare"
    assert "scored on other examples than" in reason


def test_what_cannot_be_compared_says_why(results: Path, tmp_path: Path) -> None:
    write(results, "lora", 0.9, seeds=(7,))
    assert refusal("lora", "houlsby", results) == (
        "nothing to compare",
        "synthetic_classification · all-MiniLM-L6-v2: no seed in common: lora finished 7, houlsby 0, 1, 2",
    )
    assert refusal("houlsby", "houlsby", results) == ("A and B are both 'houlsby'",)
    assert refusal("houlsby", "pfeifer", results) == (
        f"{results}: no method 'pfeifer' (and no such folder or record): did you mean 'pfeiffer'?",
    )
    assert refusal("houlsby", "lora", results, task="synthetic_clasification") == (
        f"{results}: no records of task 'synthetic_clasification': did you mean 'synthetic_classification'?",
    )
    assert refusal("a", "b", tmp_path / "no") == (
        f"{tmp_path / 'no'}: no such folder to look 'a' up in: --results names the folder of records",
    )
    (tmp_path / "empty").mkdir()
    assert refusal("a", "b", tmp_path / "empty") == (f"{tmp_path / 'empty'}: no records below it",)


def test_the_command_fits_a_terminal(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", "houlsby", "head_only", "--results", str(results)]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "synthetic_classification · all-MiniLM-L6-v2"
    assert lines[1] == "accuracy, 200 test examples, seeds 0, 1, 2"
    assert [line.split()[0] for line in lines[2:5]] == ["houlsby", "head_only", "difference"]
    assert ", 95% interval 0." in lines[4]
    assert lines[5] == "  p < 0.001 for this pair alone, p < 0.001 corrected for 3 pairs"
    assert lines[6].startswith("houlsby is better by ")
    assert max(map(len, lines)) <= 80
    assert main([*arguments, "--json"]) == 0
    ((one,), refused) = json.loads(capsys.readouterr().out).values()
    assert (one["a"]["name"], one["better"], refused) == ("houlsby", "a", [])
    assert one["difference"] == pytest.approx(one["a"]["mean"] - one["b"]["mean"])
    assert main(["compare", "houlsby", "nothing", "--results", str(results)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {results}: no method 'nothing'")


def test_one_line_says_why_the_interval_and_the_verdict_disagree(tmp_path: Path) -> None:
    """Two methods of many differ by so little that their pair alone is significant and the corrected test is not."""
    for number in range(6):
        write(tmp_path, f"m{number}", 0.8 + 0.012 * number, seeds=(0,), examples=400)
    (board,) = boards(records.read_all(tmp_path)[0])
    assert board.ranking is not None
    between = [names for names, pair in board.ranking.pairs.items() if pair.p_value < 0.05 <= pair.corrected]
    assert between
    ((one,), _) = compare(*between[0], tmp_path)
    assert one.interval is not None
    assert one.interval[0] > 0
    assert one.verdict == "a tie: the data cannot separate them"
    assert one.why_both is not None
    assert one.why_both.startswith("The interval leaves out 0, as the pair alone is significant (p = 0.0")
    assert one.why_both.endswith("follows the corrected p: of 15 pairs, some differ so much by chance.")
    clear = next(names for names, pair in board.ranking.pairs.items() if pair.separated)
    ((other,), _) = compare(*clear, tmp_path)
    assert other.why_both is None


def test_escape_sequences_in_records_reach_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for method in ("plain", "evil\x1b[2J\x1b]0;owned\x07\u202e"):
        for seed in range(2):
            path = write_run(tmp_path, method[:5], seed, 0.9, task="words")
            records.write(records.read(path).replace(method=method, task="words\x1b[31m"), path)
    (tmp_path / "bad\x1b[2J.json").write_text('{"schema_version": 1, "\\u001b[2J": 1}')
    assert main(["leaderboard", str(tmp_path)]) == 0
    assert main(["compare", str(tmp_path), "plain", "--results", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "\u202e" not in out + err
    assert "\\x1b[2J" in out
