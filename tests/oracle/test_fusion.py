"""Fusions of AdapterHub's library, met by ours with their directories loaded, and written for it again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import DIRECTORY, base_model, output_of, unpadded
from peft import PeftModel
from safetensors.torch import load_file
from test_hidden_states import REFUSED
from torch import Tensor

from peft_bottleneck import average, load_adapterhub, save_adapterhub

# The names of the fixtures' adapters are single letters, which the methods' prefixes hold.
pytestmark = pytest.mark.filterwarnings("ignore:Adapter name .* should not be contained in the prefix:UserWarning")

METHODS = {"seq_bn": "pfeiffer", "double_seq_bn": "houlsby", "par_bn": "parallel", "left_out": "pfeiffer"}
CASES = sorted(
    (path.parents[2].name, path.parents[1].name) for path in DIRECTORY.glob("*/fusion*/*/adapter_fusion_config.json")
)


def golden(case: str, configuration: str) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """What to call the model with, what it computes without adapters, and with the fusion."""
    files = [DIRECTORY / case / name for name in ("fusion.safetensors", "golden.safetensors")]
    tensors = load_file(next(file for file in files if file.exists()))
    inputs = {name.removeprefix("input."): value for name, value in tensors.items() if name.startswith("input.")}
    return inputs, tensors["plain"], tensors[f"output.{configuration}"]


def check(model: PeftModel, case: str, configuration: str) -> None:
    inputs, plain, expected = golden(case, configuration)
    assert not torch.allclose(expected, plain, atol=1e-3)
    tolerance = 2e-5 if model.get_base_model().config.model_type in ("t5", "mt5") else 1e-5
    output = unpadded(output_of(model, inputs), inputs)
    torch.testing.assert_close(output, unpadded(expected, inputs), rtol=0, atol=tolerance)


@pytest.mark.parametrize(("case", "configuration"), CASES)
def test_output(case: str, configuration: str) -> None:
    directory = DIRECTORY / case / configuration
    model = base_model(case)
    method = METHODS[configuration.removeprefix("fusion_")]
    refused = method in REFUSED.get(model.config.model_type, ())
    if model.config.model_type == "albert" and configuration == "fusion_left_out":
        pytest.skip("the library lowers a temperature that blocks share in each of them, within one call")
    if refused or method == "parallel":
        names = [name for name, _ in model.named_modules()]
        reason = "is not expressed for" if refused else "the library adds the residual stream twice"
        with pytest.raises(ValueError, match=reason):
            load_adapterhub(model, directory)
        assert [name for name, _ in model.named_modules()] == names
        return
    check(load_adapterhub(model, directory), case, configuration)


SEQUENTIAL = [("bert", "fusion_seq_bn"), ("gpt2", "fusion_double_seq_bn")]


@pytest.mark.parametrize(("case", "configuration"), SEQUENTIAL)
def test_written_and_loaded_again(case: str, configuration: str, tmp_path: Path) -> None:
    model = load_adapterhub(base_model(case), DIRECTORY / case / configuration, "both")
    save_adapterhub(model, tmp_path, "both")
    for folder in ("a", "b", "fusion"):
        theirs, ours = DIRECTORY / case / configuration / folder, tmp_path / folder
        config = "adapter_fusion_config.json" if folder == "fusion" else "adapter_config.json"
        weights = next(path.name for path in theirs.glob("*.bin"))
        one, other = (torch.load(path / weights, weights_only=True) for path in (theirs, ours))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
        one, other = (json.loads((path / config).read_text(encoding="utf-8")) for path in (theirs, ours))
        differing = {
            key for key in one["config"] if one["config"][key] != other["config"].get(key, one["config"][key])
        }
        assert differing <= {"dropout_prob"}  # written out, where theirs takes the model's
        assert one.get("adapter_names") == other.get("adapter_names")
    check(load_adapterhub(base_model(case), tmp_path), case, configuration)


def test_beside_adapters_that_are_there(tmp_path: Path) -> None:
    directory = DIRECTORY / "bert" / "fusion_seq_bn"
    model = load_adapterhub(base_model("bert"), directory / "a", "a")
    load_adapterhub(model, directory / "b", "b")
    shutil.copytree(directory / "fusion", tmp_path / "alone")
    load_adapterhub(model, tmp_path / "alone", "both")
    assert model.active_adapters == ["a"]
    model.set_adapter("both")
    check(model, "bert", "fusion_seq_bn")


def changed(tmp_path: Path, **fields: Any) -> Path:
    directory = tmp_path / "changed"
    shutil.copytree(DIRECTORY / "bert" / "fusion_seq_bn", directory)
    file = directory / "fusion" / "adapter_fusion_config.json"
    description = json.loads(file.read_text(encoding="utf-8"))
    description["config"] |= fields
    file.write_text(json.dumps(description), encoding="utf-8")
    return directory


def test_refused(tmp_path: Path) -> None:
    model = load_adapterhub(base_model("bert"), DIRECTORY / "bert" / "fusion_seq_bn" / "a", "other")
    directory = changed(tmp_path, residual_before=True, query_before_ln=True, new_field=1)
    with pytest.raises(
        ValueError, match=r"query_before_ln=True .*; residual_before=True .*; unknown field new_field=1"
    ):
        load_adapterhub(model, directory, "both")
    shutil.rmtree(directory)
    directory = changed(tmp_path, key=False)
    with pytest.raises(ValueError, match="it has encoder.layer.0.output.adapter_fusion_layer.key.bias, which the"):
        load_adapterhub(model, directory, "both")
    shutil.rmtree(directory / "b")
    with pytest.raises(ValueError, match=r"the adapters \['b'\] are neither in the model nor beside the fusion"):
        load_adapterhub(model, directory, "both")
    assert list(model.peft_config) == ["other"]
    average(load_adapterhub(model, DIRECTORY / "bert" / "fusion_seq_bn" / "b", "b"), ["other", "b"], "mean")
    with pytest.raises(ValueError, match="the library saves no averages; save .*'other', 'b'"):
        save_adapterhub(model, tmp_path / "mean", "mean")
    assert not (tmp_path / "mean").exists()
