"""The stacks of many adapters: made once, never stale, and no part of what is copied or saved."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from equations import METHODS, layers, loss, output, randomise
from mixed_batches import MIXED, adapted, check, inputs_for, together
from peft import PeftModel, get_peft_model_state_dict
from peft.utils.hotswap import hotswap_adapter_from_state_dict
from tiny_models import tiny_model
from torch import Tensor


def test_adapters_are_stacked_once_and_kept_once() -> None:
    model = adapted("bert", "houlsby", *[{}] * 3)
    before = sum(parameter.nbytes for parameter in model.parameters())
    names = ["a0", "a1", "a2", "a0", "a1", "a2", "a0"]
    together(model, inputs_for("bert"), names)
    addresses = [parameter.data_ptr() for parameter in model.parameters()]
    together(model, inputs_for("bert"), names)
    assert [parameter.data_ptr() for parameter in model.parameters()] == addresses
    storages = {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in model.parameters()}
    assert sum(storages.values()) == before


def _train(model: PeftModel) -> None:
    model.set_requires_grad(["a0", "a1"])
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    loss(model(**inputs_for("bert"), adapter_names=["a0", "a1"] * 3 + ["a0"])[0]).backward()
    optimizer.step()


def _other(model: PeftModel) -> dict[str, Tensor]:
    return {name: torch.randn_like(tensor) * 0.2 for name, tensor in model.state_dict().items() if "houlsby" in name}


def _write_data(model: PeftModel) -> None:
    for name, parameter in model.named_parameters():
        if ".a1." in name:
            parameter.data.copy_(torch.randn_like(parameter) * 0.2)


def _replace_one(model: PeftModel) -> None:
    for layer in layers(model):
        linear = layer.maps("a0")["down"]
        linear.weight = torch.nn.Parameter(torch.randn_like(linear.weight) * 0.2)


def _hotswap(model: PeftModel) -> None:
    state = {n: torch.randn_like(p) * 0.2 for n, p in model.state_dict().items() if "houlsby" in n and ".a1." in n}

    class Lora:
        rank_pattern = alpha_pattern = MappingProxyType[str, int]({})
        r, lora_alpha, use_rslora = 1, 1, False

    for layer in layers(model):
        layer.scaling = {"a1": 1.0}  # what PEFT's function, written for LoRA, sets besides
    hotswap_adapter_from_state_dict(model, state, "a1", Lora(), parameter_prefix="houlsby_")  # type: ignore[arg-type]


def _delete_and_add(model: PeftModel) -> None:
    model.delete_adapter("a1")
    model.add_adapter("a1", METHODS["houlsby"](bottleneck_size=4, init_weights=False))


def _convert(model: PeftModel) -> None:
    class Doubled(torch.nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    layer = layers(model)[0]
    layer.houlsby_down["a1"].__class__ = Doubled


def _watch(model: PeftModel) -> None:
    layers(model)[0].houlsby_up["a1"].register_forward_hook(lambda module, args, output: 3 * output)


CHANGES: dict[str, Callable[[PeftModel], Any]] = {
    "a training step": _train,
    "load_state_dict": lambda model: model.load_state_dict(_other(model), strict=False),
    "load_state_dict(assign=True)": lambda model: model.load_state_dict(_other(model), strict=False, assign=True),
    "writing to .data": _write_data,
    "replacing one parameter": _replace_one,
    "hot swap": _hotswap,
    "deleting and adding": _delete_and_add,
    "an adapter more": lambda model: model.add_adapter("a3", METHODS["houlsby"](bottleneck_size=4)),
    "to float64": lambda model: model.double(),
    "converting a module": _convert,
    "a hook": _watch,
}


@pytest.mark.parametrize("change", CHANGES)
def test_never_stale(change: str) -> None:
    model = adapted("bert", "houlsby", *[{}] * 3)
    inputs = inputs_for("bert")
    first = together(model, inputs, MIXED)
    CHANGES[change](model)
    model.eval()
    check(model, inputs, MIXED)
    check(model, inputs, ["a2", "a1", "a0", "a2", "a1", "a1", "a1"])
    if change not in ("an adapter more", "to float64"):
        assert not torch.allclose(together(model, inputs, MIXED), first, atol=1e-4)


def test_a_copy_has_weights_of_its_own() -> None:
    model = adapted("bert", "houlsby", *[{}] * 3)
    inputs = inputs_for("bert")
    first = together(model, inputs, MIXED)
    other = copy.deepcopy(model)
    randomise(other.requires_grad_(True), seed=5)
    assert torch.equal(together(model, inputs, MIXED), first)
    check(other, inputs, MIXED)


def test_views_of_another_tensor_stay_views_of_it() -> None:
    # As optimizers of several frameworks keep parameters: what they write to the flat tensor counts.
    model = adapted("bert", "houlsby", *[{}] * 3)
    parameters = [p for name, p in model.named_parameters() if "houlsby" in name]
    flat = torch.cat([p.detach().flatten() for p in parameters])
    for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        parameter.data = part.view_as(parameter)
    check(model, inputs_for("bert"), MIXED)
    flat.mul_(-1.5)
    check(model, inputs_for("bert"), MIXED)


def test_saving_one_adapter_saves_no_other(tmp_path: Path) -> None:
    model = adapted("bert", "houlsby", *[{}] * 6)
    torch.save(get_peft_model_state_dict(model, adapter_name="a1"), tmp_path / "alone.pt")
    together(model, inputs_for("bert", 6), [f"a{number}" for number in range(6)])
    torch.save(get_peft_model_state_dict(model, adapter_name="a1"), tmp_path / "mixed.pt")
    before, after = (torch.load(tmp_path / name) for name in ("alone.pt", "mixed.pt"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (tmp_path / "mixed.pt").stat().st_size == (tmp_path / "alone.pt").stat().st_size
    model.save_pretrained(tmp_path, selected_adapters=["a1"])
    loaded = PeftModel.from_pretrained(tiny_model("bert"), tmp_path / "a1", adapter_name="a1")
    loaded.base_model.set_adapter("a1")
    model.base_model.set_adapter("a1")
    assert torch.equal(output(loaded.eval(), inputs_for("bert")), output(model, inputs_for("bert")))
