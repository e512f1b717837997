"""Bottlenecks beside adapters of other kinds on one model, `mixed=True`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from equations import METHODS, layers, loss, output, randomise, without_dropout
from peft import LoHaConfig, LoraConfig, PeftMixedModel, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from test_mixed_batch import inputs_for
from tiny_models import tiny_model

from peft_bottleneck import PfeifferConfig, fuse

PLACES = [
    ("bert", "houlsby", "query"),
    ("bert", "pfeiffer", "query"),
    ("bert", "parallel_adapter", "query"),
    ("bert", "houlsby", "attention.output.dense"),  # both on the same modules
    ("gpt2", "pfeiffer", "c_attn"),
    ("gpt2", "parallel_adapter", "c_attn"),
    ("llama", "houlsby", "o_proj"),
]


def union(model_type: str, method: str, target: str, *, bottleneck_first: bool) -> Any:
    configs = {
        "bottleneck": METHODS[method](bottleneck_size=4, init_weights=False),
        "low": LoraConfig(r=2, target_modules=[target], init_lora_weights=False, fan_in_fan_out=model_type == "gpt2"),
    }
    names = list(configs) if bottleneck_first else list(configs)[::-1]
    model = get_peft_model(tiny_model(model_type), configs[names[0]], adapter_name=names[0], mixed=True)
    model.add_adapter(names[1], configs[names[1]])
    model.set_adapter(["bottleneck", "low"])
    return randomise(model).eval()


@pytest.mark.parametrize("bottleneck_first", [True, False])
@pytest.mark.parametrize(("model_type", "method", "target"), PLACES)
def test_both_apply_train_and_go(model_type: str, method: str, target: str, bottleneck_first: bool) -> None:
    inputs = inputs_for(model_type)
    plain = output(tiny_model(model_type).eval(), inputs)
    model = union(model_type, method, target, bottleneck_first=bottleneck_first)
    assert isinstance(model, PeftMixedModel)
    outputs = {"both": output(model, inputs)}
    for name in ("bottleneck", "low"):
        model.set_adapter(name)
        outputs[name] = output(model, inputs)
    # Alone, each is what it is without the other.
    config = model.peft_config["bottleneck"]
    alone = get_peft_model(tiny_model(model_type), config, adapter_name="bottleneck").eval()
    own = [parameter for name, parameter in model.named_parameters() if ".bottleneck." in name]
    theirs = [parameter for name, parameter in alone.named_parameters() if ".bottleneck." in name]
    with torch.no_grad():
        for mine, other in zip(own, theirs, strict=True):
            other.copy_(mine)
    torch.testing.assert_close(outputs["bottleneck"], output(alone, inputs), rtol=1e-5, atol=1e-5)
    values = [plain, *outputs.values()]
    assert not any(torch.allclose(a, b, atol=1e-3) for i, a in enumerate(values) for b in values[:i])
    with model.disable_adapter():
        assert torch.equal(output(model, inputs), plain)
    model.set_adapter(["bottleneck", "low"])
    without_dropout(model).train()
    loss(model(**inputs)[0]).backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert trained == {name for name, p in model.named_parameters() if p.requires_grad}
    assert all("bottleneck" in name or "lora_" in name for name in trained)
    assert any("lora_" in name for name in trained)
    assert any(".bottleneck." in name for name in trained)
    with pytest.raises(ValueError, match="A mixed model with bottlenecks cannot be merged"):
        model.merge_and_unload()
    base = model.eval().unload()
    assert torch.equal(output(base, inputs), plain)
    assert [name for name, _ in base.named_modules()] == [name for name, _ in tiny_model(model_type).named_modules()]


def test_saved_one_by_one_and_loaded_together(tmp_path: Path) -> None:
    model = union("bert", "pfeiffer", "query", bottleneck_first=True)
    inputs = inputs_for("bert")
    both = output(model, inputs)
    for name in ("bottleneck", "low"):
        model.peft_config[name].save_pretrained(tmp_path / name)
        state = get_peft_model_state_dict(model, adapter_name=name)
        save_file(state, tmp_path / name / "adapter_model.safetensors")
    loaded = PeftMixedModel.from_pretrained(tiny_model("bert"), tmp_path / "bottleneck", adapter_name="bottleneck")
    loaded.load_adapter(tmp_path / "low", "low")
    loaded.set_adapter(["bottleneck", "low"])
    torch.testing.assert_close(output(loaded.eval(), inputs), both, rtol=1e-5, atol=1e-6)
    alone = PeftModel.from_pretrained(tiny_model("bert"), tmp_path / "bottleneck").eval()
    model.set_adapter("bottleneck")
    torch.testing.assert_close(output(alone, inputs), output(model, inputs), rtol=1e-5, atol=1e-6)


def test_two_methods_of_ours_and_deletion() -> None:
    model = get_peft_model(tiny_model("bert"), METHODS["houlsby"](init_weights=False), adapter_name="h1", mixed=True)
    model.add_adapter("p1", METHODS["parallel_adapter"](init_weights=False))
    model.add_adapter("k1", LoHaConfig(r=2, target_modules=["key"], init_weights=False))
    model.set_adapter(["h1", "p1", "k1"])
    inputs = inputs_for("bert")
    three = output(model.eval(), inputs)
    model.delete_adapter("p1")
    assert not any("p1" in name for name, _ in model.named_parameters())
    assert model.active_adapters == ["h1", "k1"] or set(model.active_adapters) == {"h1", "k1"}
    assert not torch.allclose(output(model, inputs), three, atol=1e-3)


def test_what_does_not_go() -> None:
    model = union("bert", "pfeiffer", "query", bottleneck_first=True)
    with pytest.raises(ValueError, match="A mixed model takes no Fusion"):
        model.add_adapter("x", PfeifferConfig(composition={"adapters": ["bottleneck", "low"]}))
    assert "x" not in model.peft_config
    with pytest.raises((TypeError, ValueError), match="PeftMixedModel"):
        fuse(model, ["bottleneck", "low"], "x")
    with pytest.raises((TypeError, ValueError), match="adapter_names"):
        model(**inputs_for("bert", 2), adapter_names=["low", "bottleneck"])
    assert all(layer.rows is None for layer in layers(model))
