"""A wheel built from the checkout holds everything: installed elsewhere it imports, trains, and finds its tasks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHECK = """
import pathlib, sys, torch
import peft_bottleneck, eval_tasks
for module in (peft_bottleneck, eval_tasks):
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
data = pathlib.Path(eval_tasks.__file__).parent / "data"
assert (data / "tiny_sentiment" / "train.jsonl").stat().st_size > 10_000
assert (pathlib.Path(peft_bottleneck.__file__).parent / "py.typed").exists()
"""


def run(folder: Path, *command: str, **environment: str) -> None:
    # Not in the checkout, which Python would import from.
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, **environment})
    assert result.returncode == 0, result.stdout + result.stderr


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


def test_wheel_is_complete(wheel: Path, tmp_path: Path) -> None:
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(tmp_path)]
    run(tmp_path, *install, str(wheel))
    run(tmp_path, sys.executable, "-c", CHECK, str(tmp_path), PYTHONPATH=str(tmp_path))


@pytest.mark.slow
def test_wheel_installs_into_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    import torch

    run(tmp_path, sys.executable, "-m", "venv", str(tmp_path / "venv"))
    python = str(tmp_path / "venv" / "bin" / "python")
    version = torch.__version__.partition("+")[0]
    run(tmp_path, python, "-m", "pip", "install", "--quiet", f"torch=={version}")
    run(tmp_path, python, "-m", "pip", "install", "--quiet", str(wheel))
    run(tmp_path, python, "-c", CHECK, str(tmp_path / "venv"))
