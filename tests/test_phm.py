"""Maps that are sums of Kronecker products: their equation, what they share, their life in an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from equations import METHODS, layers, loss, output, randomise
from peft import PeftModel, get_peft_model
from tiny_models import tiny_inputs, tiny_model
from torch import nn

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig
from peft_bottleneck.phm import Phm, PhmLinear, build_phm_maps

FIELDS: dict[str, dict[str, Any]] = {
    "compacter": {},
    "whole": {"phm_rank": None},
    "factorised rule": {"factorized_phm_rule": True, "phm_rank": 2},
    "own rules": {"shared_phm_rule": False},
    "shared weights": {"shared_phm_weights": True},
    "fixed rule": {"learn_phm": False},
    "gated": {"bottleneck": "gated", "use_bias": False},
}


def config(method: str = "houlsby", **fields: Any) -> Any:
    return METHODS[method](**{"phm_dim": 4, "bottleneck_size": 8, "init_weights": False, **fields})


@pytest.mark.parametrize("rank", [None, 1, 3])
@pytest.mark.parametrize("factorized", [False, True])
def test_equation(rank: int | None, factorized: bool) -> None:
    torch.manual_seed(0)
    phm = Phm(dim=2, rank=rank, factorized_rule=factorized)
    maps = build_phm_maps({"down": (8, 4), "up": (4, 8)}, phm, bias=True, first=None)
    for part in maps.values():
        part.reset_parameters()
        nn.init.normal_(part.bias)
    for part in maps.values():
        rule, matrices = part.stack("rule"), part.stack("matrices")
        product = sum(torch.kron(a, m) for a, m in zip(rule, matrices, strict=True))
        x = torch.randn(3, 5, part.in_features)
        torch.testing.assert_close(part(x), x @ product + part.bias)
        torch.testing.assert_close(part.weight, product.T)
        if factorized:
            assert all(torch.linalg.matrix_rank(matrix) == 1 for matrix in rule)
    assert maps["up"].keeper["rule"] == (maps["down"],)


@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
@pytest.mark.parametrize("method", METHODS)
def test_no_op_at_the_start(method: str, fields: dict[str, Any]) -> None:
    inputs = tiny_inputs("bert")
    plain = output(tiny_model("bert"), inputs)
    model = get_peft_model(tiny_model("bert"), config(method, init_weights=True, **fields)).eval()
    assert torch.equal(output(model, inputs), plain)
    model = get_peft_model(tiny_model("bert"), config(method, **fields)).eval()
    assert not torch.allclose(output(model, inputs), plain, atol=1e-3)


@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
def test_trained_saved_and_loaded(fields: dict[str, Any], tmp_path: Path) -> None:
    """Every parameter moves, what is shared is saved once, and every way of loading gives the same bits."""
    torch.manual_seed(0)
    model = get_peft_model(tiny_model("bert"), config(init_weights=True, **fields), adapter_name="other")
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    inputs = tiny_inputs("bert")
    before = {name: parameter.clone() for name, parameter in model.named_parameters() if parameter.requires_grad}
    for _ in range(3):
        loss(model(**inputs)[0]).backward()
        optimizer.step()
        optimizer.zero_grad()
    after = dict(model.named_parameters())
    assert all(not torch.equal(after[name], value) for name, value in before.items())
    expected = output(model.eval(), inputs)
    model.save_pretrained(tmp_path)
    rules = [name for name in model.state_dict() if ".rule" in name]
    own_rules = fields.get("shared_phm_rule") is False
    assert len(rules) == (8 if own_rules else 1 + bool(fields.get("factorized_phm_rule")))
    for low in (False, True):
        loaded = PeftModel.from_pretrained(
            tiny_model("bert"), tmp_path / "other", is_trainable=True, low_cpu_mem_usage=low
        ).eval()
        assert torch.equal(output(loaded, inputs), expected)
        maps = [part for layer in layers(loaded) for part in layer.maps("default").values()]
        assert sum(bool(part.own("rule")) for part in maps) == (8 if own_rules else 1)
    direct = tiny_model("bert")
    direct.load_adapter(str(tmp_path / "other"))
    torch.testing.assert_close(output(direct.eval(), inputs), expected)


def test_sharing() -> None:
    model = get_peft_model(tiny_model("bert"), config(shared_phm_weights=True))
    maps = [layer.maps("default") for layer in layers(model)]
    for name in ("down", "up"):
        assert [bool(one[name].own("matrices")) for one in maps] == [True, False, False, False]
    shared = sum(p.numel() for p in model.parameters() if p.requires_grad)
    alone = get_peft_model(tiny_model("bert"), config(shared_phm_rule=False))
    # Four bottlenecks 32→8→32 of rank 1: 4·(8+2) numbers per map, 40 of biases, 64 in the rule.
    assert shared == 64 + 2 * 40 + 4 * 40
    assert sum(p.numel() for p in alone.parameters() if p.requires_grad) == 4 * (2 * (64 + 40) + 40)


def test_a_rule_that_is_not_trained_is_saved_all_the_same() -> None:
    model = get_peft_model(tiny_model("bert"), config(learn_phm=False))
    assert not any(".rule" in name for name, _ in model.named_parameters())
    assert sum(".rule" in name for name in model.state_dict()) == 1


@pytest.mark.parametrize("method", METHODS)
def test_several_adapters(method: str) -> None:
    """Each has a rule of its own; switching, disabling and deleting one leaves the other."""
    inputs = tiny_inputs("bert")
    model = randomise(get_peft_model(tiny_model("bert"), config(method), adapter_name="one")).eval()
    first = output(model, inputs)
    model.add_adapter("two", config(method))
    model.set_adapter("two")
    second = output(model, inputs)
    assert not torch.allclose(first, second, atol=1e-3)
    mixed = model(**inputs, adapter_names=["one", "two", "__base__"])[0]
    torch.testing.assert_close(mixed[0], first[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mixed[1], second[1], rtol=1e-4, atol=1e-5)
    with model.disable_adapter():
        torch.testing.assert_close(mixed[2], output(model, inputs)[2], rtol=1e-4, atol=1e-5)
    model.delete_adapter("one")
    assert torch.equal(output(model, inputs), second)


def test_folded() -> None:
    """A sum of Kronecker products is a matrix, so a parallel adapter folds into the FFN as any other."""
    inputs = tiny_inputs("bert")
    fields = {"foldable": True, "phm_dim": 4, "bottleneck_size": 8}
    model = randomise(get_peft_model(tiny_model("bert"), ParallelAdapterConfig(**fields))).eval()
    expected = output(model, inputs)
    torch.testing.assert_close(output(model.merge_and_unload(), inputs), expected, rtol=1e-4, atol=1e-5)


def test_half_precision() -> None:
    inputs = tiny_inputs("bert")
    for fields in ({}, {"learn_phm": False}):
        model = get_peft_model(tiny_model("bert").to(torch.bfloat16), config(**fields)).eval()
        assert output(model, inputs).dtype is torch.bfloat16
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.isfinite(output(model, inputs)).all()


def test_weighted_sum() -> None:
    model = get_peft_model(tiny_model("bert"), config(), adapter_name="one")
    model.add_adapter("two", config())
    model.base_model.add_weighted_adapter(["one", "two"], [0.5, 0.5], "mean")
    first = layers(model)[0]
    rules = {name: first.maps(name)["down"].stack("rule") for name in ("one", "two", "mean")}
    torch.testing.assert_close(rules["mean"], (rules["one"] + rules["two"]) / 2)
    model.add_adapter("three", config(phm_rank=2))
    with pytest.raises(ValueError, match="differ in phm"):
        model.base_model.add_weighted_adapter(["one", "three"], [0.5, 0.5], "sum")


def test_refusals() -> None:
    with pytest.raises(ValueError, match="phm_dim must be an integer above 0, or None, got 0"):
        HoulsbyConfig(phm_dim=0)
    with pytest.raises(ValueError, match="phm_rank must be an integer above 0, or None, got -1"):
        HoulsbyConfig(phm_rank=-1)
    with pytest.raises(ValueError, match="phm_dim=4 must divide the sizes of every map, got 32 and 6"):
        get_peft_model(tiny_model("bert"), PfeifferConfig(phm_dim=4, bottleneck_size=6))
    sizes = {r"layer\.1\..*": 4}
    with pytest.raises(ValueError, match="shared_phm_weights=True needs maps of one size, got 32×4 and 32×8"):
        get_peft_model(tiny_model("bert"), config(shared_phm_weights=True, bottleneck_size_pattern=sizes))
    shared = PhmLinear(8, 8, Phm(2), bias=True)
    other = PhmLinear(8, 8, Phm(2), bias=True, rule_of=shared)
    other._is_replica = True
    with pytest.raises(RuntimeError, match="do not work under nn.DataParallel"):
        other(torch.ones(1, 8))
