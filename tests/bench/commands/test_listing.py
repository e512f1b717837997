"""The commands that list, plan and rank."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from peft_bottleneck_bench import records
from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.commands.listing import (
    _method_table,
    _option_table,
    _task_table,
    method_rows,
    option_rows,
    task_rows,
)
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.models.methods import METHODS
from peft_bottleneck_bench.models.options import config_class
from peft_bottleneck_bench.tasks import task_names

Configure = Callable[..., Path]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_tasks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "tasks")
    assert all(name in out for name in task_names())
    rows = {row["task"]: row for row in json.loads(printed(capsys, "tasks", "--json"))}
    assert list(rows) == task_names()
    assert rows["sst2"]["data"] == "nyu-mll/glue"
    assert len(rows["sst2"]["revision"]) == 40
    assert rows["tiny_ner"]["data"] == "shipped"
    assert rows["tacred"]["data"] == "your own copy"


def test_methods_are_listed_with_their_options(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "methods")
    assert all(name in out for name in METHODS)
    rows = {row["method"]: row for row in json.loads(printed(capsys, "methods", "--json"))}
    assert list(rows)[: len(METHODS)] == list(METHODS)
    assert {"vera", "boft"} < rows.keys()
    assert rows["lora"]["options"]["r"] == 8
    assert rows["prefix_tuning"]["options"]["num_virtual_tokens"] == 20
    assert rows["head_only"]["options"] == {}


def test_the_options_of_a_method_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["option"]: row for row in json.loads(printed(capsys, "methods", "houlsby", "--json"))}
    assert rows["init_weights"]["default"] is True
    assert rows["non_linearity"]["description"]
    assert "reduction_factor" in printed(capsys, "methods", "houlsby")
    assert printed(capsys, "methods", "full").splitlines() == ["option  default  description"]
    assert main(["methods", "lara"]) == 2
    assert capsys.readouterr().err == "error: unknown method 'lara': did you mean 'lora'?\n"


def test_a_dry_run_plans_and_trains_nothing(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(configure(methods=["houlsby", "head_only"], seeds=[0, 1]))
    out = printed(capsys, "run", path, "--dry-run")
    assert "1,122" in out  # the head of the tiny model
    assert out.splitlines()[-1] == (
        "4 runs, 4 left: their time is unknown until a run of the same task and model has finished on this kind of "
        "machine"
    )
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / "results-adapters").exists()


def test_a_dry_run_knows_what_is_finished_and_how_long_it_took(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(configure(methods=["head_only"], seeds=[0, 1]))
    printed(capsys, "run", path, "seeds=[0]")
    last = printed(capsys, "run", path, "--dry-run").splitlines()[-1]
    assert last.startswith("2 runs, 1 left: about ")
    assert last.endswith(" s at most")


def test_a_dry_run_tells_the_steps_and_counts_trials(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search = {"trials": 2, "space": {"num_train_epochs": [1, 4]}}
    path = str(configure(methods=["head_only", "untuned"], seeds=[0, 1], search=search))
    lines = printed(capsys, "run", path, "--dry-run", "limits.train=40").splitlines()
    rows = [re.split(r" {2,}", line.strip()) for line in lines if " tiny_bert " in line]
    assert [(row[1], row[3], row[5]) for row in rows] == [
        ("untuned", "0 1", "0"),
        ("head_only", "2 trials", "3–12"),  # 40 examples in batches of 16
        ("head_only", "0 1", "12"),  # the first of Sobol's points takes four epochs
    ]
    assert lines[-3].startswith("6 runs, 6 left: ")
    assert lines[-2] == "2 of these are trials; where not all are done, final runs are shown as the first trial."
    assert lines[-1] == (
        "words · untuned · tiny_bert: trains nothing, so there is nothing to search; it runs as it is"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "run.yaml",
        "test.jsonl",
        "train.jsonl",
        "validation.jsonl",
    ]


def test_another_machine_s_times_are_no_basis(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(configure(methods=["head_only"], seeds=[0, 1]))
    printed(capsys, "run", path, "seeds=[0]")
    (found,) = records.read_all(Path(load_configuration(Path(path)).results))[0].items()
    file, record = found
    records.write(record.replace(hardware=record.hardware.model_copy(update={"processor": "abacus"})), file)
    last = printed(capsys, "run", path, "--dry-run").splitlines()[-1]
    assert last.startswith("2 runs, 1 left: their time is unknown until a run of the same task and model has finished")


def test_a_leaderboard_is_made_of_records(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    assert main(["leaderboard", str(results)]) == 2
    assert capsys.readouterr().err == (
        f"error: {results}: no such folder: give the folder of records that a run has written\n"
    )
    printed(capsys, "run", str(configure(methods=["head_only"])))
    out = printed(capsys, "leaderboard", str(results))
    assert "head_only" in out
    assert (results / "LEADERBOARD.md").is_file()
    assert (results / "index.html").is_file()


def test_a_folder_without_records_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaderboard", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}: no records below it\n"


@pytest.mark.parametrize(("method", "factor"), [("houlsby", 16), ("pfeiffer", 16), ("parallel_adapter", 2)])
def test_the_default_size_of_a_method_is_listed(method: str, factor: int) -> None:
    defaults = {row["option"]: row["default"] for row in option_rows(method)}
    made = config_class(method)
    assert made is not None
    assert defaults["reduction_factor"] == factor == made().reduction_factor
    assert defaults["bottleneck_size"] is None


def test_the_tables_fit_a_terminal_and_cut_no_name() -> None:
    for table, rows, name in (
        (_task_table, task_rows()[0], "task"),
        (_method_table, method_rows(METHODS), "method"),
        (_option_table, option_rows("lora"), "option"),
    ):
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(table(rows))
        lines = console.export_text().splitlines()
        first = {line.split()[0] for line in lines if line.strip()}
        assert {row[name] for row in rows} <= first
        assert max(map(len, lines)) <= 80
