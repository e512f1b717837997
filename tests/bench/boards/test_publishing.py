"""Records for others: no text, the same ranks."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from synthetic import WORDS, write_failed_run, write_run

from peft_bottleneck_bench import records
from peft_bottleneck_bench.boards import Board, boards, build
from peft_bottleneck_bench.boards.publishing import publish
from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.errors import UserError


def found(folder: Path) -> list[Board]:
    return boards(records.read_all(folder)[0])


@pytest.mark.parametrize("kind", ["translation", "classification", "ner", "regression"])
def test_a_published_folder_has_the_same_ranks_and_no_text(tmp_path: Path, kind: str) -> None:
    for method, skill in (("good", 0.9), ("bad", 0.5)):
        for seed in range(2):
            write_run(tmp_path / "mine", method, seed, skill, kind=kind)
    write_failed_run(tmp_path / "mine", "failed", 0, "out of memory", kind=kind)
    assert publish(tmp_path / "mine", tmp_path / "theirs") == 5
    (mine,), (theirs,) = found(tmp_path / "mine"), found(tmp_path / "theirs")
    assert mine.ranking is not None
    assert theirs.ranking == mine.ranking
    assert [row.method for row in theirs.rows] == [row.method for row in mine.rows]
    if kind == "translation":
        for path in (tmp_path / "theirs").rglob("*.gz"):
            assert not any(word in gzip.decompress(path.read_bytes()).decode() for word in WORDS if len(word) > 3)
    build(tmp_path / "theirs")
    again = tmp_path / "again"
    publish(tmp_path / "theirs", again)
    files = sorted(path.relative_to(again) for path in again.rglob("*.gz"))
    assert files
    assert all((again / file).read_bytes() == (tmp_path / "theirs" / file).read_bytes() for file in files)


def test_published_runs_share_a_board_only_with_the_same_examples(tmp_path: Path) -> None:
    write_run(tmp_path / "mine", "a", 0, 0.9, kind="translation")
    path = write_run(tmp_path / "mine", "b", 0, 0.9, kind="translation")
    publish(tmp_path / "mine", tmp_path / "theirs")
    side = records.predictions_path(tmp_path / "theirs" / path.relative_to(tmp_path / "mine"))
    rows = records.read_predictions(side)
    records.write_predictions([rows[0].model_copy(update={"reference": "sha256:0"}), *rows[1:]], side)
    (board,) = found(tmp_path / "theirs")
    assert board.ranking is None
    assert "scored on other examples than" in board.notes[0]
    records.write_predictions([rows[0].model_copy(update={"statistics": None}), *rows[1:]], side)
    (board,) = found(tmp_path / "theirs")
    assert "only some examples have statistics" in board.notes[0]


def test_what_cannot_be_published_is_named_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_run(tmp_path / "mine", "a", 0, 0.9)
    records.predictions_path(path).unlink()
    with pytest.raises(UserError, match=r"predictions.jsonl.gz is missing"):
        publish(tmp_path / "mine", tmp_path / "theirs")
    assert not (tmp_path / "theirs").exists()
    assert main(["publish", str(tmp_path / "none"), str(tmp_path / "theirs")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'none'}: no records below it\n"
    write_run(tmp_path / "mine", "a", 0, 0.9)
    assert main(["publish", str(tmp_path / "mine"), str(tmp_path / "theirs")]) == 0
    assert capsys.readouterr().out == f"1 record written below {tmp_path / 'theirs'}\n"
