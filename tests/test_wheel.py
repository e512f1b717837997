"""A wheel built from the checkout holds everything: installed elsewhere it imports, trains, and finds its tasks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"peft_bottleneck", "peft_bottleneck_bench"}
CHECK = """
import pathlib, sys, torch
import peft_bottleneck, peft_bottleneck_bench
for module in (peft_bottleneck, peft_bottleneck_bench):
    assert pathlib.Path(module.__file__).is_relative_to(sys.argv[1]), module.__file__
from peft import get_peft_model
from transformers import BertConfig, BertModel
sizes = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=50)
wanted = torch.randn(1, 8, 16, generator=torch.Generator().manual_seed(0))
for config in (peft_bottleneck.HoulsbyConfig, peft_bottleneck.PfeifferConfig, peft_bottleneck.ParallelAdapterConfig):
    model = get_peft_model(BertModel(BertConfig(**sizes)), config()).eval()  # no dropout
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    losses = []
    for _ in range(5):
        loss = (model(input_ids=torch.arange(8)[None]).last_hidden_state - wanted).square().mean()
        optimizer.zero_grad(); loss.backward(); optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0], losses
assert (pathlib.Path(peft_bottleneck.__file__).parent / "py.typed").exists()
"""


def run(folder: Path, *command: str, code: int = 0, **environment: str) -> str:
    """What `command` prints; in `folder`, because Python would import from the checkout."""
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, **environment})
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout + result.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    run(folder, *install, str(wheel))
    return folder


def test_wheel_holds_two_packages_and_no_waste(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.partition("/")[0] for name in names}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == PACKAGES
    assert len(folders) == len(PACKAGES) + 1
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    inside = {name for name in names if name.startswith("peft_bottleneck_bench/eval_tasks/")}
    files = subprocess.run(["git", "ls-files", "eval_tasks"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {name.partition("/")[2] for name in inside} == set(files.stdout.splitlines())


def test_wheel_is_complete(installed: Path) -> None:
    run(installed, sys.executable, "-c", CHECK, str(installed), PYTHONPATH=str(installed))


def test_the_command_of_the_wheel_has_tasks_and_configurations(installed: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "peft_bottleneck_bench.cli"]
    tasks = json.loads(run(tmp_path, *command, "tasks", "--json", PYTHONPATH=str(installed)))
    assert "tiny_sentiment" in [row["task"] for row in tasks if row["data"] == "shipped"]
    (tmp_path / "mine.py").write_text(
        "from peft_bottleneck_bench.tasks import Task, shipped\n"
        "TASK = Task(name='mine', kind='classification', data=shipped('tiny_sentiment'), main_metric='accuracy')\n"
    )
    options = ("tasks=[mine, tiny_ner]", "methods=[houlsby]", "--tasks-from", str(tmp_path), "--dry-run")
    plan = run(tmp_path, *command, "run", "quickstart", *options, PYTHONPATH=str(installed))
    assert "\n6 runs, 6 left" in plan
    assert " mine " in plan


@pytest.mark.slow
def test_wheel_installs_into_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    import torch

    run(tmp_path, sys.executable, "-m", "venv", str(tmp_path / "venv"))
    python = str(tmp_path / "venv" / "bin" / "python")
    version = torch.__version__.partition("+")[0]
    run(tmp_path, python, "-m", "pip", "install", "--quiet", f"torch=={version}")
    run(tmp_path, python, "-m", "pip", "install", "--quiet", str(wheel))
    run(tmp_path, python, "-c", CHECK, str(tmp_path / "venv"))
    command = str(tmp_path / "venv" / "bin" / "peft-bottleneck")
    assert (
        run(tmp_path, command, "run", "quickstart", code=2)
        .splitlines()[-1]
        .endswith(f'is not installed: try `pip install "{wheel}[bench]"`')
    )
