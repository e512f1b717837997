"""Costs are measured apart from the runs and shown beside their scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from peft_bottleneck_bench import records
from peft_bottleneck_bench.boards import boards
from peft_bottleneck_bench.boards.columns import columns
from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.records import costs

METHODS = ["houlsby", "lora", "untuned"]


def test_every_method_is_timed_and_shown_beside_its_scores(configure: Callable[..., Path], tmp_path: Path) -> None:
    results = tmp_path / "results"
    file = str(configure(methods=METHODS, seeds=[0], results=str(results)))
    assert main(["run", file]) == 0
    assert main(["costs", file, "--turns", "3"]) == 0
    found = costs.read(results)
    assert found is not None
    assert [row.method for row in found.rows] == METHODS
    for row in found.rows:
        for timing in (row.one_input, row.batch, *([row.train_step] if row.train_step else [])):
            assert 0 < timing.low <= timing.median <= timing.high
    houlsby, lora, untuned = found.rows
    assert houlsby.train_step is not None
    assert untuned.train_step is None
    assert (houlsby.folded, lora.folded, untuned.folded) == (False, True, False)

    runs, warnings = records.read_all(results)
    assert warnings == []
    quiet, busy = (found.model_copy(update={"others_cpu_share": share}) for share in (0.01, 0.5))
    (board,) = boards(runs, quiet)
    shown = {column.name: column for column in columns(board)}
    cells = {row.method: shown["one input"].cell(row) for row in board.rows}
    assert cells["lora"].endswith(" ms folded")
    assert cells["houlsby"].endswith(" ms")
    assert any("measured apart from the runs" in note for note in board.notes)
    (board,) = boards(runs, busy)
    assert "one input" not in {column.name for column in columns(board)}
    assert "The measured costs are not shown: other processes used the machine meanwhile." in board.notes


def test_a_damaged_file_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "costs.json").write_text('{"turns": "many"}')
    runs, warnings = records.read_all(tmp_path)
    assert not runs
    assert warnings[0].startswith(f"{tmp_path / 'costs.json'}: measured is missing")


def test_one_turn_has_no_quartiles(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["costs", "quickstart", "--turns", "1"]) == 2
    assert "--turns: quartiles need at least 2, found 1" in capsys.readouterr().err
