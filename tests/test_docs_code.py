"""The code and the commands that documents show run: the pages that have no test of their own, and all commands."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from peft_bottleneck_bench.cli import _parse, main
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.shipped import shipped_configurations

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "RELEASING.md", *sorted(DOCS.rglob("*.md")))
BLOCK = re.compile(r"^```(\w+)(?: [^\n]*)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# Pages whose Python is run top to bottom here; the others have tests of their own, which the comments name.
RUN = (
    "README.md",
    "docs/get-started.md",
    "docs/guides/existing-code.md",
    "docs/guides/folding-and-serving.md",
    "docs/guides/from-lora.md",
    "docs/guides/add-a-method.md",
)
ELSEWHERE = (
    "docs/guides/add-a-task.md",  # tests/bench/test_docs.py
    "docs/guides/benchmark.md",  # tests/bench/test_docs.py
    "docs/guides/from-adapterhub.md",  # tests/test_from_adapterhub_page.py
    "docs/guides/frozen-prefix.md",  # tests/test_frozen_prefix_page.py
    "docs/guides/many-devices.md",  # tests/distributed
    "docs/guides/python.md",  # tests/bench/test_api.py
    "docs/guides/several-adapters.md",  # tests/test_several_adapters_page.py
    "docs/guides/small-gpus.md",  # tests/bench/test_small_gpus_docs.py
    "docs/leaderboard/reading.md",  # tests/bench/boards/test_leaderboard_docs.py
)
# What a command needs where a sentence gives its name alone.
NEEDED = {"run": ["x"], "compare": ["x", "y"], "check": ["x"], "publish": ["x", "y"], "predict": ["x"], "exec": ["x"]}
PROGRAMS = {"make", "pip", "python", "accelerate", "ray", "srun", "#!/bin/bash", "#SBATCH"}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return [content for found, content in BLOCK.findall(page.read_text(encoding="utf-8")) if found == language]


def test_every_page_with_code_is_tested() -> None:
    with_code = {name_of(page) for page in PAGES if blocks(page, "python")}
    assert with_code == {*RUN, *ELSEWHERE}


@pytest.mark.filterwarnings("default")  # what libraries say of each other fails no example
@pytest.mark.parametrize("page", RUN)
def test_the_code_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page == "docs/guides/existing-code.md":
        pytest.importorskip("trl")
    if page == "docs/guides/folding-and-serving.md":
        pytest.importorskip("sentence_transformers")
    monkeypatch.chdir(tmp_path)
    shorten_training(monkeypatch)
    names: dict[str, Any] = {"__name__": "__main__"}
    for code in blocks(ROOT / page, "python"):
        exec(compile(code, page, "exec"), names)
    if page in ("README.md", "docs/get-started.md"):
        assert (tmp_path / "my-adapter" / "adapter_model.safetensors").exists()
    if page == "docs/guides/from-lora.md":
        assert type(names["plain"]).__name__ == "BertForSequenceClassification"


def shorten_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Trainer` stops after two steps: what is tested is that the code runs."""
    from transformers import Trainer

    start = Trainer.__init__

    def shortened(self: Any, *args: Any, **kwargs: Any) -> None:
        start(self, *args, **kwargs)
        self.args.max_steps = 2

    monkeypatch.setattr(Trainer, "__init__", shortened)


def test_the_readme_trains_in_few_lines() -> None:
    (code,) = blocks(ROOT / "README.md", "python")
    assert "..." not in code
    statements = [node for node in ast.parse(code).body if not isinstance(node, (ast.Import, ast.ImportFrom))]
    assert len(statements) <= 15


def commands(page: Path) -> Iterator[list[str]]:
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=not line.startswith("#"))
            while words and re.match(r"\w+=", words[0]):
                del words[0]
            if words:
                yield words


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_its_commands_exist(page: Path) -> None:
    for words in commands(page):
        program, *arguments = words
        if program == "peft-bottleneck":
            _parse([argument for argument in arguments if argument != "&"])  # exits where an option does not exist
        elif program.endswith("python") or program == "python":
            if arguments[0] != "-m":
                assert (ROOT / arguments[0]).exists(), arguments[0]
        else:
            assert program in PROGRAMS, program


def test_inline_commands_exist() -> None:
    """`peft-bottleneck …` within a sentence."""
    seen = 0
    for page in PAGES:
        for command in re.findall(r"`peft-bottleneck ([^`…]+)`", page.read_text(encoding="utf-8")):
            arguments = shlex.split(command.replace("\n", " "))
            _parse([*arguments, *(NEEDED.get(arguments[0], ()) if len(arguments) == 1 else ())])
            seen += 1
    assert seen > 10


@pytest.mark.parametrize("name", shipped_configurations())
def test_shipped_configurations_have_a_dry_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if name != "quickstart":  # their data are on the hub, or the user's own
        assert load_configuration(Path(name)).tasks
        return
    assert main(["run", name, "--dry-run"]) == 0
    assert "15 runs, 15 left" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("snippet", blocks(DOCS / "guides" / "benchmark.md", "yaml"))
def test_configurations_of_the_benchmark_are_read(snippet: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(snippet, encoding="utf-8")
    assert load_configuration(file).methods
    assert yaml.safe_load(snippet)["model"].startswith("package:")
