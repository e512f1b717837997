"""What AdapterHub's library computed, met by ours with its checkpoints loaded, or refused."""

from __future__ import annotations

import json

import pytest
import torch
from cases import CASES, DIRECTORY, base_model, golden, output_of, unpadded

from peft_bottleneck.adapterhub import load_adapterhub

# Where the library computes something that none of our placements does.
REFUSED = {
    "beit": ["houlsby", "parallel"],
    "gemma2": ["pfeiffer"],
    "gemma3_text": ["pfeiffer"],
    "modernbert": ["pfeiffer"],
}


def refused(case: str, configuration: str) -> bool:
    description = json.loads((DIRECTORY / case / configuration / "adapter_config.json").read_text(encoding="utf-8"))
    return description["name"].split("_")[0] in REFUSED.get(description["model_type"], ())


@pytest.mark.parametrize(("case", "configuration"), CASES)
def test_output(case: str, configuration: str) -> None:
    directory = DIRECTORY / case / configuration
    model = base_model(case)
    inputs, outputs = golden(case)
    model_type = model.config.model_type
    if refused(case, configuration):
        with pytest.raises(ValueError, match=f"is not expressed for {model_type}: there"):
            load_adapterhub(model, directory)
        return
    output = output_of(load_adapterhub(model, directory), inputs)
    expected, plain = outputs[f"output.{configuration}"], outputs["plain"]
    assert not torch.allclose(expected, plain, atol=1e-3)
    tolerance = 2e-5 if model_type in ("t5", "mt5") else 1e-5  # their bases differ between transformers' versions
    torch.testing.assert_close(unpadded(output, inputs), unpadded(expected, inputs), rtol=0, atol=tolerance)


def test_beit_adds_up_in_the_order_of_the_library() -> None:
    """What its layer scale has multiplied is the output of its stochastic depth."""
    inputs, outputs = golden("beit")
    model = load_adapterhub(base_model("beit"), DIRECTORY / "beit" / "pfeiffer")
    assert model.peft_config["default"].summand_modules == r"\g<block>.drop_path+\g<block>.layernorm_after"
    torch.testing.assert_close(output_of(model, inputs), outputs["output.pfeiffer"], rtol=0, atol=1e-6)
