"""What `docs/leaderboard/reading.md` shows is run as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from synthetic import write_run

from peft_bottleneck_bench import records
from peft_bottleneck_bench.boards.boards import boards
from peft_bottleneck_bench.boards.markdown import markdown
from peft_bottleneck_bench.cli import main

TEXT = (Path(__file__).parents[3] / "docs" / "leaderboard" / "reading.md").read_text(encoding="utf-8")


def block(form: str) -> str:
    (content,) = re.findall(rf"```{form}\n(.*?)```", TEXT, re.DOTALL)
    return str(content)


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of three methods where the documentation looks for them."""
    monkeypatch.chdir(tmp_path)
    for folder in ("results", "results-before", "results-after"):
        for method, skill in (("houlsby", 0.95), ("lora", 0.5), ("head_only", 0.3)):
            for seed in range(3):
                write_run(Path(folder), method, seed, skill, task="words", model="tiny_bert")


def test_the_commands_run_and_print_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for line in block("sh").splitlines():
        assert main(shlex.split(line)[1:]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == block("text")


def test_the_code_runs(capsys: pytest.CaptureFixture[str]) -> None:
    exec(block("python"), {})
    out = capsys.readouterr().out
    assert "words · tiny_bert {'houlsby': 1, 'lora': 2, 'head_only': 3}" in out
    assert "houlsby is better by" in out


def test_every_column_is_explained() -> None:
    table = markdown(boards(records.read_all(Path("results"))[0]), [])
    (header,) = (line for line in table.splitlines() if line.startswith("| tier"))
    explained = {name for row in re.findall(r"^\| ([^|]+) \|", TEXT, re.MULTILINE) for name in row.split(", ")}
    columns = {"score ± std" if name.endswith("± std") else name for name in header.strip("| ").split(" | ")}
    assert columns == explained - {"column", "---"}
