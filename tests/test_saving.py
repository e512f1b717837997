"""Every way in and out gives the same bits, also under another adapter name."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import cpu_offload, disk_offload
from equations import METHODS, output
from peft import (
    AutoPeftModel,
    PeftConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    inject_adapter_in_model,
)
from safetensors.torch import load_file
from tiny_models import tiny_inputs, tiny_model
from transformers import AutoModel, AutoModelForSequenceClassification

from peft_bottleneck import HoulsbyConfig

FAMILIES = ("bert", "opt", "llama", "t5", "bart", "vit")  # a module for the FFN or none, pre-LN and post-LN
VARIANTS: dict[str, dict[str, Any]] = {
    "houlsby": {"scaling": "channel"},
    "pfeiffer": {"bottleneck": "gated"},
    "parallel_adapter": {"parallel_input": "residual", "scaling": "learned"},
}


@pytest.mark.parametrize("variant", ["plain", "variant"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model_type", FAMILIES)
@pytest.mark.usefixtures("any_peft")
def test_save_and_load(model_type: str, method: str, variant: str, tmp_path: Path) -> None:
    options = VARIANTS[method] if variant == "variant" else {}
    config = METHODS[method](init_weights=False, **options)
    inputs = tiny_inputs(model_type)
    base = tiny_model(model_type)
    base.save_pretrained(tmp_path / "base")
    base.name_or_path = str(tmp_path / "base")
    model = get_peft_model(base, config, adapter_name="first").eval()
    expected = output(model, inputs)
    model.save_pretrained(tmp_path)
    saved = tmp_path / "first"

    names = load_file(saved / "adapter_model.safetensors").keys()
    assert names
    assert all(f".{method}_" in name and ".first" not in name for name in names)
    assert type(PeftConfig.from_pretrained(str(saved))) is type(config)

    loaded = PeftModel.from_pretrained(tiny_model(model_type), str(saved), adapter_name="second").eval()
    assert torch.equal(output(loaded, inputs), expected)
    assert torch.equal(output(AutoPeftModel.from_pretrained(str(saved)).eval(), inputs), expected)

    plain = tiny_model(model_type)  # transformers' own way
    info = plain.load_adapter(str(saved), adapter_name="third")
    assert not info.missing_keys
    assert not info.unexpected_keys
    assert torch.equal(output(plain.eval(), inputs), expected)

    injected = inject_adapter_in_model(copy.deepcopy(config), tiny_model(model_type), adapter_name="fourth")
    randoms = get_peft_model_state_dict(injected, adapter_name="fourth")
    again = tiny_model(model_type)
    again.load_adapter(adapter_state_dict=randoms, peft_config=copy.deepcopy(config), adapter_name="fifth")
    assert torch.equal(output(again.eval(), inputs), output(injected.eval(), inputs))

    added = tiny_model(model_type)
    added.add_adapter(copy.deepcopy(config), adapter_name="sixth")
    expected_added = output(added.eval(), inputs)
    added.save_pretrained(tmp_path / "added")
    reloaded = tiny_model(model_type)
    reloaded.load_adapter(str(tmp_path / "added"))
    assert torch.equal(output(reloaded.eval(), inputs), expected_added)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model_type", FAMILIES)
def test_copies_share_nothing(model_type: str, method: str) -> None:
    inputs = tiny_inputs(model_type)
    model = get_peft_model(tiny_model(model_type), METHODS[method](init_weights=False)).eval()
    expected = output(model, inputs)
    twin = copy.deepcopy(model)
    for copied in (twin, pickle.loads(pickle.dumps(model))):
        assert torch.equal(output(copied, inputs), expected)
        for parameter in copied.parameters():
            parameter.data.zero_()
        assert torch.equal(output(model, inputs), expected)


@pytest.mark.parametrize("low_cpu_mem_usage", [False, True])
def test_low_memory_loading(low_cpu_mem_usage: bool, tmp_path: Path) -> None:
    inputs = tiny_inputs("bert")
    model = get_peft_model(tiny_model("bert"), HoulsbyConfig(init_weights=False, scaling="learned")).eval()
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny_model("bert"), str(tmp_path), low_cpu_mem_usage=low_cpu_mem_usage).eval()
    assert torch.equal(output(loaded, inputs), output(model, inputs))


def test_a_task_head_is_saved_with_the_adapter_and_nothing_else(tmp_path: Path) -> None:
    head = AutoModelForSequenceClassification
    inputs = tiny_inputs("bert")
    model = get_peft_model(tiny_model("bert", head), HoulsbyConfig(task_type="SEQ_CLS", init_weights=False)).eval()
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert {name for name in saved if ".houlsby_" not in name} == {
        "base_model.model.classifier.weight",
        "base_model.model.classifier.bias",
    }
    assert sum(tensor.numel() for tensor in saved.values()) == sum(
        parameter.numel() for parameter in model.parameters() if parameter.requires_grad
    )
    loaded = PeftModel.from_pretrained(tiny_model("bert", head, seed=0), str(tmp_path)).eval()
    assert torch.equal(output(loaded, inputs), output(model, inputs))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model_type", ["bert", "llama", "opt"])
def test_a_base_that_accelerate_offloads(model_type: str, method: str, tmp_path: Path) -> None:
    """Its weights are elsewhere until they are needed; the adapter's stay where they compute."""
    inputs = tiny_inputs(model_type)
    model = get_peft_model(tiny_model(model_type), METHODS[method](init_weights=False)).eval()
    model.save_pretrained(tmp_path / "adapter")
    in_memory, on_disk = tiny_model(model_type), tiny_model(model_type)
    cpu_offload(in_memory, execution_device=torch.device("cpu"))
    fresh = get_peft_model(in_memory, METHODS[method]())
    assert {weight.device.type for weight in fresh.parameters() if weight.requires_grad} == {"cpu"}
    assert torch.equal(output(fresh.eval(), inputs), output(tiny_model(model_type), inputs))
    disk_offload(on_disk, str(tmp_path / "offloaded"), execution_device=torch.device("cpu"))
    loaded = PeftModel.from_pretrained(on_disk, str(tmp_path / "adapter")).eval()
    assert torch.equal(output(loaded, inputs), output(model, inputs))


DEVICE_MAPS: dict[str, dict[str, str]] = {
    "bert": {"embeddings": "cpu", "encoder.layer.0": "cpu", "encoder.layer.1": "disk", "pooler": "disk"},
    "llama": {"embed_tokens": "disk", "layers.0": "cpu", "layers.1": "cpu", "norm": "cpu", "rotary_emb": "cpu"},
}


def spread(model_type: str, device_map: dict[str, str], folder: Path) -> Any:
    """The tiny model from its files, parts of it left on disk."""
    tiny_model(model_type).save_pretrained(folder / "base")
    model = AutoModel.from_pretrained(folder / "base", device_map=device_map, offload_folder=str(folder / "offloaded"))
    assert "meta" in {parameter.device.type for parameter in model.parameters()}
    return model.eval()


@pytest.mark.parametrize(
    ("model_type", "method"),
    [
        ("bert", "houlsby"),
        ("bert", "pfeiffer"),
        ("bert", "parallel_adapter"),
        ("llama", "houlsby"),
        ("llama", "pfeiffer"),
    ],
)
def test_a_base_that_a_device_map_leaves_on_disk(
    model_type: str, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PEFT spreads such a model anew, adapter included, and says that `ephemeral_gpu_offload` is for LoRA."""
    monkeypatch.chdir(tmp_path)  # where PEFT writes the renamed weights, whatever folder it is given
    inputs, device_map = tiny_inputs(model_type), DEVICE_MAPS[model_type]
    model = get_peft_model(tiny_model(model_type), METHODS[method](init_weights=False)).eval()
    model.save_pretrained(tmp_path / "adapter")
    with pytest.warns(UserWarning, match="Ephemeral GPU offloading is not supported"):
        loaded = PeftModel.from_pretrained(
            spread(model_type, device_map, tmp_path),
            str(tmp_path / "adapter"),
            ephemeral_gpu_offload=True,
            device_map={f"base_model.model.{name}": place for name, place in device_map.items()},
            offload_folder=str(tmp_path / "again"),
        )
    assert torch.equal(output(loaded.eval(), inputs), output(model, inputs))


def test_a_new_adapter_on_a_base_that_is_on_disk(tmp_path: Path) -> None:
    """Where an adapter wraps whole FFNs too, which PEFT cannot load onto such a model, and the refusal says so."""
    model = get_peft_model(spread("llama", DEVICE_MAPS["llama"], tmp_path), METHODS["parallel_adapter"]()).eval()
    inputs = tiny_inputs("llama")
    assert torch.equal(output(model, inputs), output(tiny_model("llama"), inputs))
    model.save_pretrained(tmp_path / "adapter")
    with pytest.raises(ValueError, match=r"wraps all of layers.0.mlp: use 'cpu' in the device_map instead of 'disk'"):
        PeftModel.from_pretrained(spread("llama", DEVICE_MAPS["llama"], tmp_path), str(tmp_path / "adapter"))
