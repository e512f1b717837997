"""The table at the end of a run."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from rich.console import Console
from synthetic import write_failed_run, write_run

from peft_bottleneck_bench import records
from peft_bottleneck_bench.boards import render_table


def rendered(folder: Path, width: int = 80) -> str:
    console = Console(width=width, file=StringIO())
    console.print(render_table(records.read_all(folder)[0]))
    return console.file.getvalue()


def test_table_shows_tiers_figures_and_costs(tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path, "parallel_adapter", seed, 0.9)
        write_run(tmp_path, "head_only", seed, 0.3)
    write_failed_run(tmp_path, "full", 0, "out of memory")
    lines = rendered(tmp_path).splitlines()
    assert max(map(len, lines)) <= 80
    cells = {words[2]: words for line in lines if len(words := line.split()) > 9}
    assert cells["parallel_adapter"][:2] == ["1", "1"]
    assert cells["head_only"][:2] == ["2", "2"]
    assert cells["parallel_adapter"][4] == "±"
    assert cells["parallel_adapter"][6:8] == ["890", "k"]
    assert cells["parallel_adapter"][-4:] == ["1.1", "GB", "3.6", "MB"]
    text = " ".join(" ".join(lines).split())
    assert "parallel_adapter is best: every other method is significantly worse." in text
    assert "full is incomplete: seed 0 failed: out of memory; no run with seed 1, 2" in text


def test_long_names_fold_and_figures_stay_whole(tmp_path: Path) -> None:
    name = "parallel_adapter with a very long label [bold]and brackets[red]"
    for seed in range(2):
        write_run(tmp_path, name, seed, 0.9)
    text = rendered(tmp_path)
    assert "890 k" in text
    folded = "".join(line.split("0.")[0].strip(" 1–") for line in text.splitlines()[5:])
    assert name.replace(" ", "") in folded.replace(" ", "")


def test_no_records_are_said() -> None:
    assert rendered(Path("/nowhere")) == "No records yet.\n"
