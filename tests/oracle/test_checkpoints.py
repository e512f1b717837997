"""Checkpoints in all their forms: written again, of old versions, from the hub, with heads, for adapted models."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import CASES, DIRECTORY, FIXTURES, base_model, golden, output_of
from checkpoints import Weights, changed
from huggingface_hub import constants
from peft import PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from test_hidden_states import refused
from tiny_models import tiny_config, tiny_inputs, tiny_model
from transformers import AutoModel

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig, load_adapterhub, save_adapterhub
from peft_bottleneck.adapterhub.configurations import our_config
from peft_bottleneck.adapterhub.fields import DEFAULTS, PRESETS
from peft_bottleneck.adapterhub.names import Names

BERT = FIXTURES / "bert"


def read(directory: Path) -> tuple[dict[str, Any], Weights]:
    description = json.loads((directory / "adapter_config.json").read_text(encoding="utf-8"))
    return description, torch.load(directory / "pytorch_adapter.bin", weights_only=True)


@pytest.mark.parametrize(("case", "configuration"), [case for case in CASES if not refused(*case)])
def test_written_again(case: str, configuration: str, tmp_path: Path) -> None:
    """The library's own names and numbers come out again, and PEFT's own files hold the same."""
    inputs, _ = golden(case)
    model = load_adapterhub(base_model(case), DIRECTORY / case / configuration, "given")
    output = output_of(model, inputs)
    save_adapterhub(model, tmp_path / "adapterhub", "given")
    (given, weights), (written, again) = read(DIRECTORY / case / configuration), read(tmp_path / "adapterhub")
    # The library writes once more what its decoder shares with its encoder.
    weights = {
        name: value for name, value in weights.items() if not re.search(r"decoder.*(shared_|invertible_)", name)
    }
    assert len(again) == len(weights)
    for name, value in again.items():  # without the prefix of a model with a head, which the library finds itself
        theirs = name.replace(".given.", f".{configuration}.")
        (match,) = (key for key in weights if f".{key}".endswith(f".{theirs}"))
        assert torch.equal(value, weights[match])
    same = ("model_type", "hidden_size", "version")
    assert [written[key] for key in same] == [given[key] for key in same]
    reloaded = load_adapterhub(base_model(case), tmp_path / "adapterhub")
    # Without a norm after it, two of the library's configurations are the same equation, with other rounding.
    exact = summands_of(model, "given") == summands_of(reloaded, "default")
    torch.testing.assert_close(output_of(reloaded, inputs), output, rtol=0, atol=0 if exact else 1e-5)
    assert exact or configuration == "pfeiffer_block_output"

    model.save_pretrained(tmp_path / "peft")
    # Trainable as well: where nothing is, torch takes other kernels, with other rounding.
    loaded = PeftModel.from_pretrained(base_model(case), tmp_path / "peft" / "given", is_trainable=True)
    assert torch.equal(output_of(loaded, inputs), output)


def summands_of(model: PeftModel, adapter: str) -> str | None:
    return getattr(model.peft_config[adapter], "summand_modules", None)


@pytest.mark.parametrize(
    "config",
    [
        HoulsbyConfig(bottleneck_size=5, non_linearity="identity", scaling=2, init_weights=False),
        HoulsbyConfig(bottleneck_size_pattern={r"layer\.1\..*": 3}, scaling="channel", init_weights=False),
        HoulsbyConfig(reduction_factor=0.3, layers_to_transform=[1], init_weights=False),
        HoulsbyConfig(target_modules=r".*layer\.\d+\.output\.dense", dropout=0.1, init_weights=False),
        PfeifferConfig(bottleneck_size=40, scaling="learned", init_weights=False),
        ParallelAdapterConfig(exclude_modules=r".*layer\.0.*", init_weights=False),
    ],
)
def test_adapters_of_ours(config: Any, tmp_path: Path) -> None:
    """Whatever its sizes and sites are given by, an adapter comes back the same."""
    model = get_peft_model(tiny_model("bert"), config).eval()
    output = output_of(model, tiny_inputs("bert"))
    save_adapterhub(model, tmp_path)
    again = load_adapterhub(tiny_model("bert"), tmp_path)
    exact = not isinstance(config, PfeifferConfig)  # a loaded one adds up in another order
    torch.testing.assert_close(output_of(again, tiny_inputs("bert")), output, rtol=0, atol=0 if exact else 1e-5)
    ours, theirs = (get_peft_model_state_dict(one) for one in (model, again))
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert {name for name, _ in again.named_parameters()} == {name for name, _ in model.named_parameters()}


def test_every_form_of_the_weights(tmp_path: Path) -> None:
    inputs, outputs = golden("bert")
    checkpoint = changed(tmp_path)
    save_file(torch.load(checkpoint / "pytorch_adapter.bin", weights_only=True), checkpoint / "adapter.safetensors")
    (checkpoint / "pytorch_adapter.bin").unlink()
    torch.testing.assert_close(
        output_of(load_adapterhub(base_model("bert"), checkpoint), inputs), outputs["output.houlsby"]
    )


def test_first_versions(tmp_path: Path) -> None:
    """They wrote no version, other names, and invertible adapters that task adapters did not have."""

    def renamed(weights: Weights) -> Weights:
        return {
            f"bert.{key}".replace(
                "attention.output.adapters", "attention.output.attention_text_task_adapters"
            ).replace("0.output.adapters", "0.output.layer_text_task_adapters"): value
            for key, value in weights.items()
        }

    def aged(content: dict[str, Any]) -> dict[str, Any]:
        kept = ("mh_adapter", "output_adapter", "reduction_factor", "original_ln_before", "original_ln_after")
        config = {key: content["config"][key] for key in kept}
        config |= {"non_linearity": "gelu", "invertible_adapter": {"block_type": "nice", "reduction_factor": 2}}
        config |= {"attention_type": "sent-lvl-dynamic", "new_attention_norm": False, "leave_out": None}
        capitals = {"mh_adapter": "MH_Adapter", "output_adapter": "Output_Adapter"}
        config = {capitals.get(key, key): value for key, value in config.items()}
        return {"config": config, "name": "houlsby", "model_type": "bert", "type": "text_task"}

    model = load_adapterhub(base_model("bert"), changed(tmp_path, description=aged, weights=renamed))
    assert model.peft_config["default"].non_linearity == "gelu_new"
    new = load_adapterhub(base_model("bert"), changed(tmp_path, config={"non_linearity": "gelu_new"}))
    inputs, _ = golden("bert")
    assert torch.equal(output_of(model, inputs), output_of(new, inputs))


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_configurations_by_name(name: str, tmp_path: Path) -> None:
    """Some checkpoints hold the name of a configuration; ours for it, written again, is that of the name."""
    base = AutoModel.from_config(tiny_config("bert", hidden_size=256, num_hidden_layers=1))
    model = get_peft_model(base, our_config({**DEFAULTS, **PRESETS[name]}, Names.of(base)))
    save_adapterhub(model, tmp_path)
    file = tmp_path / "adapter_config.json"
    description = json.loads(file.read_text(encoding="utf-8"))
    written = description["config"]
    assert {key: written[key] for key in PRESETS[name]} == PRESETS[name]
    file.write_text(json.dumps(description | {"config": name}), encoding="utf-8")
    again = load_adapterhub(model.unload(), tmp_path)
    assert again.peft_config["default"].to_dict() == model.peft_config["default"].to_dict()


def test_layers_left_out() -> None:
    """MAD-X 2.0 leaves out the last layer of an adapter that was trained with all."""
    inputs, _ = golden("bert")
    model = load_adapterhub(base_model("bert"), BERT / "pfeiffer", leave_out=[1])
    full = load_adapterhub(base_model("bert"), BERT / "pfeiffer")
    assert len(list(model.parameters())) == len(list(full.parameters())) - 4
    last = full.get_base_model().encoder.layer[1].output.LayerNorm
    last.enable_adapters(False)
    assert torch.equal(output_of(model, inputs), output_of(full, inputs))
    t5 = load_adapterhub(base_model("t5"), FIXTURES / "t5" / "houlsby", leave_out=[1, 3])
    blocks = {name.split(".layer.")[0] for name, _ in t5.named_parameters() if "houlsby_down" in name}
    assert {name[-len("encoder.block.0") :] for name in blocks} == {"encoder.block.0", "decoder.block.0"}


def test_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository is found in the hub's cache, as everything of transformers is."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--someone--adapter"
    commit = "0" * 40
    shutil.copytree(BERT / "pfeiffer", repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit, encoding="utf-8")
    inputs, outputs = golden("bert")
    model = load_adapterhub(base_model("bert"), "someone/adapter")
    torch.testing.assert_close(output_of(model, inputs), outputs["output.pfeiffer"])


def test_a_second_adapter() -> None:
    """It joins the others and waits to be activated."""
    model = get_peft_model(base_model("bert"), HoulsbyConfig(init_weights=False), adapter_name="own")
    inputs, outputs = golden("bert")
    output = output_of(model, inputs)
    assert load_adapterhub(model, BERT / "houlsby", "given") is model
    assert model.active_adapter == "own"
    assert torch.equal(output_of(model, inputs), output)
    model.set_adapter("given")
    torch.testing.assert_close(output_of(model, inputs), outputs["output.houlsby"], rtol=0, atol=1e-5)


def test_an_adapter_can_be_trained_further() -> None:
    model = load_adapterhub(base_model("bert"), BERT / "houlsby")
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trainable == {name for name, _ in model.named_parameters() if ".houlsby_" in name}


def test_half_precision() -> None:
    model = load_adapterhub(base_model("bert").to(torch.bfloat16), BERT / "houlsby")
    assert {p.dtype for name, p in model.named_parameters() if "houlsby_" in name} <= {torch.bfloat16, torch.float32}
    inputs, outputs = golden("bert")
    torch.testing.assert_close(output_of(model, inputs).float(), outputs["output.houlsby"], rtol=0.05, atol=0.2)
