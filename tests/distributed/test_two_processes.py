"""Two processes, each with half of the batch, train the adapter that one process trains with all of it."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from peft import get_peft_model_state_dict
from torch import Tensor
from worker import BATCH, CASES, MODELS, STRATEGIES, adapted, train

ROOT = Path(__file__).parents[2]


@cache
def alone(model_type: str, case: str) -> dict[str, Tensor]:
    model = adapted(model_type, case)
    train(model, BATCH)
    return get_peft_model_state_dict(model)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the two processes have written what they trained."""
    folder = tmp_path_factory.mktemp("two_processes")
    configuration = ROOT / "configs" / "accelerate" / "two_cpu_processes.yaml"
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(configuration)]
    command += ["--main_process_port", "0", str(Path(__file__).with_name("worker.py")), str(folder), *STRATEGIES]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert finished.returncode == 0, finished.stderr[-4000:]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("model_type", MODELS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_equals_one_process(strategy: str, model_type: str, case: str, folder: Path) -> None:
    found = torch.load(folder / f"{strategy}-{model_type}-{case}.pt")
    expected = alone(model_type, case)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-6, rtol=1e-5, msg=name)


@pytest.mark.slow
def test_training_changes_every_parameter() -> None:
    """So that equality means something."""
    for model_type in MODELS:
        for case in CASES:
            before = get_peft_model_state_dict(adapted(model_type, case))
            for name, tensor in alone(model_type, case).items():
                assert not torch.equal(before[name], tensor), name
