"""`examples/sharded_base.py`: two processes, each with half of every batch, save the adapter that one alone saves."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

EXAMPLE = Path(__file__).parents[2] / "examples" / "sharded_base.py"


def losses(processes: int, folder: Path) -> list[float]:
    """The losses that the example prints; its adapter is then in `folder`."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [*launcher, str(EXAMPLE), "--tiny", "--out", str(folder)]
    finished = subprocess.run(command, cwd=folder.parent, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr[-4000:]
    return [float(loss) for loss in re.findall(r"^epoch \d+: loss (\S+)$", finished.stdout, re.MULTILINE)]


@pytest.mark.filterwarnings("default")
def test_two_processes_save_the_adapter_of_one(tmp_path: Path) -> None:
    alone, together = losses(1, tmp_path / "one"), losses(2, tmp_path / "two")
    assert len(alone) == 1
    assert together == pytest.approx(alone, abs=2e-3)
    expected, found = (load_file(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("one", "two"))
    assert len(expected) == 16  # weights and biases of two maps, twice in each of two blocks
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
    assert all(expected[name].abs().sum() > 0 for name in expected)  # `up` starts at zero
    sizes = dict(vocab_size=30522, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
    model = PeftModel.from_pretrained(LlamaForCausalLM(LlamaConfig(**sizes)), tmp_path / "two" / "adapter")
    torch.testing.assert_close(get_peft_model_state_dict(model), found, atol=0, rtol=0)
