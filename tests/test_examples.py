"""Every script of examples/ runs, on a few rows and steps; what it saves and what it says is so."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(path.stem for path in EXAMPLES.glob("*.py"))
ELSEWHERE = {"serve_adapters", "sharded_base"}  # tests/test_serve_adapters.py, tests/distributed/test_sharded_base.py

pytestmark = pytest.mark.filterwarnings("default")  # what libraries say of each other fails no example

Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs an example with `--tiny` in an empty folder, and gives what its `main` returns."""

    def start(name: str, *options: str) -> Any:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, "--tiny", *options])
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.main()

    return start


def test_every_example_is_run_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert not [name for name in SCRIPTS if f'run("{name}"' not in text and name not in ELSEWHERE]


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_says_what_it_shows_and_how_to_start_it(name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text("utf-8")
    first, *_, _ = (ast.get_docstring(ast.parse(text)) or "").splitlines()
    assert first.endswith(".")
    assert re.search(rf"^ *(python|torchrun --nproc-per-node 2) examples/{name}\.py", text, re.MULTILINE)


def saved(folder: str) -> set[str]:
    """The parts of the names of what an adapter's file holds."""
    from safetensors import safe_open

    with safe_open(f"{folder}/adapter_model.safetensors", framework="pt") as file:
        return {part for key in file.keys() for part in key.split(".")}  # noqa: SIM118  it is no mapping


@pytest.mark.parametrize("method", ["houlsby", "pfeiffer", "parallel"])
def test_text_classification(run: Run, method: str) -> None:
    assert 0 <= run("text_classification", "--method", method) <= 1
    prefix = "parallel_adapter" if method == "parallel" else method
    assert {f"{prefix}_up", "classifier"} <= saved("text-classification/adapter")


def test_named_entities(run: Run) -> None:
    assert 0 <= run("named_entities") <= 1
    assert {"pfeiffer_up", "classifier"} <= saved("named-entities/adapter")


def test_relation_extraction(run: Run) -> None:
    assert 0 <= run("relation_extraction") <= 1
    parts = saved("relation-extraction/adapter")
    assert {"houlsby_up", "classifier", "token_adapter"} <= parts  # the embeddings of the four markers
    assert Path("relation-extraction/adapter/adapter_model.safetensors").stat().st_size < 2e6


def test_translation_by_a_decoder(run: Run) -> None:
    from transformers import AutoModelForCausalLM

    assert 0 <= run("translation_trl") <= 100
    plain = AutoModelForCausalLM.from_pretrained("translation/plain")
    assert plain.config.intermediate_size == 64 + 32 // 8


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_a_quantised_base(run: Run, bits: str) -> None:
    pytest.importorskip("bitsandbytes")
    assert 0 <= run("four_bit", "--bits", bits) <= 1
    assert {"houlsby_up", "classifier"} <= saved("four-bit/adapter")


def test_language_and_task_adapters(run: Run) -> None:
    answers = run("language_adapters")
    assert len(answers) == 2
    for name in ("english", "german"):
        assert {"pfeiffer_up", "pfeiffer_f_up"} <= saved(f"language-adapters/{name}")  # f: the invertible one
    assert "classifier" in saved("language-adapters/task")


def test_a_fusion(run: Run) -> None:
    assert 0 <= run("fusion") <= 1
    assert "pfeiffer_up" in saved("fusion/similarity")
    assert "pfeiffer_up" not in saved("fusion/sentiment")


def test_a_grid(run: Run) -> None:
    assert set(run("grid")) == {"pfeiffer", "head_only"}
    assert len(list(Path("grid-results").rglob("*.json"))) == 2


def test_onnx_runtime(run: Run) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    seconds = run("onnx_runtime")  # which compares the logits
    assert {name: len(found) for name, found in seconds.items()} == {"base": 5, "folded": 5, "unfolded": 5}
    assert Path("onnx/folded.onnx").exists()


def test_a_server_without_adapter_code(run: Run) -> None:
    seconds = run("plain_server")  # which compares the logits
    assert {name: len(found) for name, found in seconds.items()} == {"base": 5, "folded": 5}


def test_sentence_embeddings(run: Run) -> None:
    pytest.importorskip("sentence_transformers")
    seconds = run("sentence_embeddings")
    assert {name: len(found) for name, found in seconds.items()} == {"base": 5, "houlsby": 5}
    assert "houlsby_up" in saved("sentence-embeddings/adapter")


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.ipynb")))
def test_notebooks(name: str, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    book = nbformat.read(EXAMPLES / name, as_version=4)
    assert not [cell for cell in book.cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)]
    for cell in book.cells:
        cell.source = cell.source.replace("TINY = False", "TINY = True")
        cell.source = cell.source.replace("../benchmarks", str(EXAMPLES.parent / "benchmarks"))
    nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(output.get("text", "") for cell in book.cells for output in cell.get("outputs", ()))
    expected = {"first_adapter.ipynb": "accuracy on test:", "read_a_leaderboard.ipynb": "may each be best"}
    assert expected[name] in printed
