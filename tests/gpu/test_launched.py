"""`configs/accelerate/*.yaml` as users launch them, with one process: DDP over NCCL, FSDP2, DeepSpeed ZeRO."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from equations import METHODS
from peft import PeftModel
from safetensors.torch import load_file
from tiny_models import VOCABULARY, tiny_model
from transformers import AutoModelForCausalLM

TOKENS = torch.randint(3, VOCABULARY, (8, 9), generator=torch.Generator().manual_seed(0))  # the worker's
ROOT = Path(__file__).parents[2]
KINDS = {
    "one_gpu": "NO",
    "several_gpus": "MULTI_GPU",
    "fsdp": "FSDP",
    "deepspeed_zero2": "DEEPSPEED",
    "deepspeed_zero3": "DEEPSPEED",
}


def train(launcher: list[str], method: str, folder: Path, *options: str) -> tuple[str, list[float]]:
    """What the worker printed: the kind of training, and the losses."""
    command = [sys.executable, *launcher, str(Path(__file__).with_name("worker.py")), method, str(folder), *options]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-6000:]
    lines = dict(line.split(": ", 1) for line in finished.stdout.splitlines() if ": " in line)
    return lines["kind of training"], [float(loss) for loss in lines["losses"].split()]


def loss_of(adapter: Path | None) -> float:
    """On the CPU, in float32, of the plain base or with an adapter loaded onto it."""
    model = tiny_model("llama", AutoModelForCausalLM)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter, torch_device="cpu").eval()
    with torch.no_grad():
        return model(input_ids=TOKENS, labels=TOKENS).loss.item()


@cache
def alone(method: str, folder: Path) -> list[float]:
    return train([], method, folder)[1]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", KINDS)
def test_trains_and_saves_the_adapter(
    name: str, method: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if name.startswith("deepspeed") and find_spec("deepspeed") is None:
        pytest.skip("needs DeepSpeed")
    configuration = ROOT / "configs" / "accelerate" / f"{name}.yaml"
    # Accelerate starts one process without a launcher of processes, and then has no process group; torchrun has.
    launcher = ["-m", "accelerate.commands.launch", "--config_file", str(configuration), "--num_processes", "1"]
    if name == "several_gpus":
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "1"]
    options = ["--own-type"] if name == "deepspeed_zero3" else []
    kind, losses = train(launcher, method, tmp_path, *options)
    assert kind == KINDS[name]
    beside = tmp_path_factory.getbasetemp() / f"alone_{method}"
    assert losses == pytest.approx(alone(method, beside), abs=0.1)
    shapes = [
        {key: tensor.shape for key, tensor in load_file(folder / "final" / "adapter_model.safetensors").items()}
        for folder in (tmp_path, beside)
    ]
    assert shapes[0] == shapes[1]
    untrained, found, expected = (loss_of(folder) for folder in (None, tmp_path / "final", beside / "final"))
    assert found == pytest.approx(expected, abs=0.1)
    assert found < untrained - 0.3
