"""The hidden states that AdapterHub's library computed, met by ours with its checkpoints loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

from peft_bottleneck.adapterhub import load_adapterhub

FIXTURES = Path(__file__).parent / "fixtures"
CASES = sorted((path.parent.parent.name, path.parent.name) for path in FIXTURES.glob("*/*/adapter_config.json"))


@pytest.mark.parametrize(("family", "config"), CASES)
def test_hidden_states_agree(family: str, config: str) -> None:
    golden = load_file(FIXTURES / family / "golden.safetensors")
    inputs = {key.removeprefix("input."): value for key, value in golden.items() if key.startswith("input.")}
    model = load_adapterhub(AutoModel.from_pretrained(FIXTURES / family / "base"), FIXTURES / family / config)
    with torch.no_grad():
        output = model.eval()(**inputs).last_hidden_state
    expected = golden[f"output.{config}"]
    assert not torch.allclose(expected, golden["plain"], atol=1e-3)
    if "attention_mask" in inputs and "decoder_input_ids" not in inputs:
        output, expected = (states[inputs["attention_mask"].bool()] for states in (output, expected))
    torch.testing.assert_close(output, expected, rtol=0, atol=2e-5 if family == "t5" else 1e-5)
