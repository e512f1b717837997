"""The Python API: its names, what importing it loads, and the example of its chapter."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_task import sentences

import peft_bottleneck_bench
from peft_bottleneck_bench import (
    Board,
    Configuration,
    Outcome,
    Plan,
    Record,
    UserError,
    leaderboard,
    load_configuration,
    plan,
    predict,
    read_records,
    run_grid,
)
from peft_bottleneck_bench.missing_packages import install_line

DOCUMENT = Path(__file__).parents[2] / "docs" / "guides" / "python.md"


def test_exported_names() -> None:
    assert peft_bottleneck_bench.__all__ == [
        "Board",
        "Configuration",
        "Jobs",
        "Outcome",
        "Plan",
        "Record",
        "UserError",
        "leaderboard",
        "load_configuration",
        "plan",
        "predict",
        "read_records",
        "run_grid",
    ]
    assert set(peft_bottleneck_bench.__all__) <= set(dir(peft_bottleneck_bench))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = peft_bottleneck_bench.nothing


@pytest.mark.parametrize("name", peft_bottleneck_bench.__all__)
def test_public_things_are_documented_and_typed(name: str) -> None:
    thing = getattr(peft_bottleneck_bench, name)
    assert inspect.getdoc(thing)
    if inspect.isfunction(thing):
        signature = inspect.signature(thing)
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(one.annotation is not inspect.Parameter.empty for one in signature.parameters.values())


def test_importing_the_harness_loads_nothing_heavy() -> None:
    code = (
        "import sys, peft_bottleneck_bench as bench\n"
        "bench.UserError\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets', 'evaluate', 'pandas', 'numpy', 'yaml', 'rich'}\n"
        "assert not heavy & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_grid_from_python(configure: Callable[..., Path], tmp_path: Path) -> None:
    configuration = load_configuration(configure(methods=["head_only", "bias_tuning"], seeds=[0, 1]))
    assert isinstance(configuration, Configuration)
    planned = plan(configuration)
    assert isinstance(planned, Plan)
    assert len(planned.runs) == 4
    parts = [planned.shard(part, 3) for part in (1, 2, 3)]
    assert sorted(str(run) for part in parts for run in part.runs) == sorted(map(str, planned.runs))
    outcome = run_grid(planned)
    assert isinstance(outcome, Outcome)
    assert outcome.failed == 0
    records, left_out = read_records(configuration.results)
    assert left_out == []
    assert records == outcome.records == planned.records
    assert all(isinstance(record, Record) for record in records.values())
    (board,) = leaderboard(records)
    assert isinstance(board, Board)
    assert {row.method for row in board.rows} == {"head_only", "bias_tuning"}
    folder = planned.runs[0].adapter_path
    rows = [{"text": row["text"]} for row in sentences(3)]
    from_rows, from_texts = list(predict(folder, rows)), list(predict(folder, [row["text"] for row in rows]))
    assert from_rows == from_texts
    assert [row["label"] in ("negative", "positive") for row in from_rows] == [True] * 3
    (tmp_path / "new.txt").write_text("".join(f"{row['text']}\n" for row in rows))
    assert [row["label"] for row in predict(folder, tmp_path / "new.txt", batch_size=2)] == [
        row["label"] for row in from_rows
    ]


def test_a_folder_without_records_is_told_from_none(tmp_path: Path) -> None:
    assert read_records(tmp_path) == ({}, [])
    with pytest.raises(UserError, match=r"other: no such folder: give the folder of records"):
        read_records(tmp_path / "other")


def test_keys_and_values_are_a_configuration(bert: Path, files: dict[str, str], tmp_path: Path) -> None:
    content = {
        "model": str(bert),
        "tasks": [{"name": "words", "kind": "classification", "data": files}],
        "methods": "houlsby",
    }
    configuration = load_configuration(content, [f"results={tmp_path / 'results'}"])
    assert [method.label for method in configuration.methods] == ["houlsby"]
    assert "results" not in content
    assert load_configuration("quickstart").tasks[0].name == "tiny_ner"
    with pytest.raises(UserError) as error:
        load_configuration({**content, "seeds": [float("nan")], "methods": "lorra"})
    assert error.value.messages == ("configuration: seeds[0]: a number beyond 1.8e308",)
    with pytest.raises(UserError, match="configuration: unknown method 'lorra': did you mean 'lora'"):
        load_configuration({**content, "methods": "lorra"})


def test_notes_of_a_prediction_are_given_to_the_caller(configure: Callable[..., Path]) -> None:
    planned = plan(load_configuration(configure(methods=["head_only"], max_length=4)))
    run_grid(planned)
    notes: list[str] = []
    list(predict(planned.runs[0].adapter_path, ["the a film was very good day"], note=notes.append))
    assert notes == ["1 example cut to max_length, 4 tokens"]


def test_a_package_that_is_missing_is_named_with_its_extra() -> None:
    """In an environment without the extra `bench`, a name of the API says how to install it."""
    code = "import sys; sys.modules['datasets'] = None; from peft_bottleneck_bench import run_grid"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    missing = "ModuleNotFoundError: the Python package 'datasets' is not installed: try "
    assert result.stderr.splitlines()[-1] == f"{missing}`{install_line()}`"


def example(results: Path) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    return code.replace("runs/python", str(results))


def test_the_example_of_the_chapter_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On fewer examples."""
    limits, small = '{"train": 192, "validation": 40, "test": 80}', '{"train": 32, "validation": 8, "test": 8}'
    code = example(tmp_path / "results")
    assert limits in code
    exec(compile(code.replace(limits, small), "python.md", "exec"), {})
    out = capsys.readouterr().out
    assert "0 runs failed" in out
    assert "lora r=16" in out
    assert "· A warm welcome and a lovely meal." in out


@pytest.mark.slow
def test_the_example_of_the_chapter_learns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (last,) = re.findall(r"```text\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(example(tmp_path / "results"), "python.md", "exec"), names)
    assert capsys.readouterr().out.endswith(last)
    assert isinstance(names["board"], Board)
    for row in names["board"].rows:
        assert row.standing is not None
        assert row.standing.mean > 0.62  # of 2 × 80 answers; by chance three standard errors above 0.5
