"""Adapters made of others: fusion and average, as equations, trained, saved, loaded and switched."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from equations import METHODS, layers, output, randomise, without_dropout
from peft import PeftModel, get_peft_model
from test_mixed_batch import adapted, inputs_for
from tiny_models import tiny_model
from torch import Tensor
from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments

from peft_bottleneck import average, fuse, fusion_loss, in_parallel

PLACES = [
    ("bert", "houlsby"),
    ("bert", "pfeiffer"),
    ("bert", "parallel_adapter"),
    ("gpt2", "pfeiffer"),
    ("t5", "houlsby"),
]


def equation(layer: Any, x: Tensor, adapters: list[str], name: str, temperature: float = 1.0) -> Tensor:
    """`V Σ pᵢ Bᵢ(x)`, written out."""
    outputs = []
    for adapter in adapters:
        maps = layer.maps(adapter)
        bottleneck = layer.bottlenecks[adapter]
        outputs.append(bottleneck.scale * maps["up"](bottleneck.phi(maps["down"](x))))
    query, key, value = (getattr(layer, layer.prefix + part)[name] for part in ("query", "key", "value"))
    scores = torch.stack([(query(x) * key(one)).sum(-1) for one in outputs], dim=-1) / temperature
    probabilities = scores.exp() / scores.exp().sum(-1, keepdim=True)
    return sum(probabilities[..., [i]] * value(one) for i, one in enumerate(outputs))  # type: ignore[return-value]


@pytest.mark.parametrize(("model_type", "method"), PLACES)
def test_fusion_is_its_equation(model_type: str, method: str) -> None:
    model = adapted(model_type, method, {}, {"bottleneck_size": 6}, {})
    fuse(model, ["a0", "a2", "a1"], "fused")
    randomise(model)
    model.eval()
    layer = layers(model)[-1]
    x = torch.randn(2, 5, layer.in_features)
    y = torch.randn(2, 5, layer.out_features)
    layer.taps = {}
    expected = y + equation(layer, x, ["a0", "a2", "a1"], "fused")
    for adapter in ("a0", "a1", "a2"):
        layer.bottlenecks[adapter].read = None
    torch.testing.assert_close(layer.adapt(y, read=lambda _: x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("model_type", "method"), PLACES)
def test_average_is_its_equation(model_type: str, method: str) -> None:
    model = adapted(model_type, method, {}, {})
    inputs = inputs_for(model_type)
    average(model, ["a0", "a1"], "first", [1.0, 0.0])
    average(model, ["a0", "a1"], "both")
    alone = {}
    for name in ("a0", "first", "both"):
        model.set_adapter(name)
        alone[name] = output(model, inputs)
    torch.testing.assert_close(alone["first"], alone["a0"], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(alone["both"], alone["a0"], atol=1e-3)
    # The average of an adapter and a copy of it, each at half weight, is the adapter.
    model.add_adapter("copy", model.peft_config["a0"])
    state = model.state_dict()
    model.load_state_dict({key: state[key.replace(".copy.", ".a0.").replace(".copy", ".a0")] for key in state})
    average(model, ["a0", "copy"], "same")
    torch.testing.assert_close(output(model, inputs), alone["a0"], rtol=1e-5, atol=1e-5)
    assert not any(".both" in name for name, _ in model.named_parameters())


def test_the_head_of_an_average_is_the_average_of_the_heads() -> None:
    options = [{"task_type": "SEQ_CLS"}, {"task_type": "SEQ_CLS"}]
    model = adapted("bert", "houlsby", *options, auto_class=AutoModelForSequenceClassification)
    average(model, ["a0", "a1"], "both", [0.75, 0.25])
    copies = model.base_model.model.classifier.modules_to_save
    expected = 0.75 * copies["a0"].weight + 0.25 * copies["a1"].weight
    torch.testing.assert_close(copies["both"].weight, expected)


def test_only_the_fusion_and_its_head_are_trained(tmp_path: Path) -> None:
    options = [{"task_type": "SEQ_CLS", "dropout": 0.5}, {"task_type": "SEQ_CLS", "dropout": 0.5}]
    model = adapted("bert", "pfeiffer", *options, auto_class=AutoModelForSequenceClassification)
    fuse(model, ["a0", "a1"], "ab", temperature=True)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    inputs = inputs_for("bert", 4)
    rows = [{**{key: value[row] for key, value in inputs.items()}, "labels": row % 2} for row in range(4)]
    arguments = TrainingArguments(str(tmp_path), max_steps=3, learning_rate=0.1, report_to=[], use_cpu=True)
    Trainer(model, arguments, train_dataset=rows).train()  # type: ignore[arg-type]
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert changed <= trained
    assert trained == {name for name in before if ".ab." in name}
    # The bias of the keys adds the same to all scores, which softmax does not see.
    assert {name for name in trained - changed if "_key.ab.bias" not in name} == set()
    assert all(layer.composition_parts("ab")["temperature"].steps == 3 for layer in layers(model))


def test_the_loss_of_a_training_step_has_the_regularisation() -> None:
    model = adapted(
        "bert",
        "pfeiffer",
        {"task_type": "SEQ_CLS"},
        {"task_type": "SEQ_CLS"},
        auto_class=AutoModelForSequenceClassification,
    )
    without_dropout(model)
    inputs = {**inputs_for("bert", 4), "labels": torch.tensor([0, 1, 1, 0])}
    fuse(model, ["a0", "a1"], "ab", regularization=0.5)
    randomise(model)
    values = [layer.composition_parts("ab")["value"].weight for layer in layers(model)]
    expected = 0.5 * sum(((value - torch.eye(len(value))) ** 2).sum() for value in values)
    torch.testing.assert_close(fusion_loss(model), expected)
    assert values
    evaluated = model.eval()(**inputs).loss
    torch.testing.assert_close(model.train()(**inputs).loss, evaluated + expected)
    model.set_adapter("a0")
    assert fusion_loss(model) == 0
    with model.disable_adapter():
        assert fusion_loss(model) == 0


def test_values_start_near_the_identity_and_scores_near_each_other() -> None:
    model = adapted("bert", "pfeiffer", {}, {})
    fuse(model, ["a0", "a1"], "ab")
    for layer in layers(model):
        value = layer.composition_parts("ab")["value"].weight
        assert torch.equal(value.diagonal(), torch.ones(32))
        assert ((value - torch.eye(32)).sum() / (32 * 31)).item() == pytest.approx(1e-6)
        assert layer.composition_parts("ab")["query"].weight.std().item() == pytest.approx(0.02, rel=0.2)


def test_the_temperature_falls_with_training_steps_alone() -> None:
    model = adapted("bert", "pfeiffer", {}, {})
    fuse(model, ["a0", "a1"], "ab", temperature=True)
    randomise(model)
    layer = layers(model)[0]
    parts = layer.composition_parts("ab")
    scores = torch.randn(3, 2)
    inputs = inputs_for("bert", 2)
    seen = []
    for _ in range(3):
        model.eval()
        with torch.no_grad():
            model(**inputs)
        model.train()
        model(**inputs)
        seen.append((scores / parts["temperature"](scores)).mean().item())
    assert seen == pytest.approx([50, 49.95, 49.9])
    parts["temperature"].steps.fill_(5000)
    assert torch.equal(parts["temperature"](scores), scores)


@pytest.mark.parametrize("safe", [True, False])
def test_saved_without_the_others_and_loaded_after_them(tmp_path: Path, safe: bool) -> None:
    model = adapted("bert", "houlsby", {}, {"bottleneck_size": 6})
    inputs = inputs_for("bert")
    fuse(model, ["a0", "a1"], "ab", temperature=True, dropout=0.1)
    randomise(model, seed=2)
    for layer in layers(model):
        layer.composition_parts("ab")["temperature"].steps.fill_(500)
    average(model, ["a1", "a0"], "mean", [0.3, 0.9])
    expected = {}
    model.eval()
    for name in ("ab", "mean", "a0"):
        model.base_model.set_adapter(name)
        expected[name] = output(model, inputs)
    model.save_pretrained(tmp_path, safe_serialization=safe)
    sizes = {name: sum(f.stat().st_size for f in (tmp_path / name).glob("adapter_model*")) for name in ("ab", "mean")}
    assert sizes["mean"] < 2000
    loaded = PeftModel.from_pretrained(tiny_model("bert"), tmp_path / "a0", adapter_name="a0")
    with pytest.raises(ValueError, match=r"made of the adapters \['a0', 'a1'\], and the model lacks \['a1'\]"):
        loaded.load_adapter(tmp_path / "ab", "ab")
    for name in ("a1", "ab", "mean"):
        result = loaded.load_adapter(tmp_path / name, name)
        assert not [key for key in result.missing_keys if f".{name}" in key]
    loaded.eval()
    for name, value in expected.items():
        loaded.base_model.set_adapter(name)
        assert torch.equal(output(loaded, inputs), value), name
    with pytest.raises(ValueError, match="model lacks"):
        PeftModel.from_pretrained(tiny_model("bert"), tmp_path / "ab", adapter_name="ab")


def test_switched_with_rows_copies_and_deletion() -> None:
    model = adapted("bert", "houlsby", {}, {})
    inputs = inputs_for("bert", 3)
    fuse(model, ["a0", "a1"], "ab")
    randomise(model, seed=2)
    model.eval()
    fused = output(model, inputs)
    assert torch.equal(output(copy.deepcopy(model), inputs), fused)
    model.base_model.set_adapter("a0")
    alone = output(model, inputs)
    with torch.no_grad():
        mixed = model(**inputs, adapter_names=["ab", "a0", "ab"])[0]
    torch.testing.assert_close(mixed, torch.stack((fused[0], alone[1], fused[2])), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="Adapter 'ab' is made of 'a1'; delete 'ab' first"):
        model.delete_adapter("a1")
    model.delete_adapter("ab")
    model.delete_adapter("a1")
    assert torch.equal(output(model, inputs), alone)
    assert not any("ab" in name for name in model.state_dict())


def test_where_an_adapter_is_missing_the_others_are_fused() -> None:
    model = adapted("bert", "pfeiffer", {"layers_to_transform": [0]}, {"layers_to_transform": [1]})
    fuse(model, ["a0", "a1"], "ab")
    model.eval()
    fused = output(model, inputs_for("bert"))
    model.base_model.set_adapter(["a0", "a1"])  # V is nearly the identity, and one adapter has all the attention
    torch.testing.assert_close(fused, output(model, inputs_for("bert")), rtol=1e-3, atol=1e-3)


def test_in_parallel() -> None:
    model = adapted("bert", "houlsby", {}, {})
    inputs = inputs_for("bert", 3)
    with torch.no_grad():
        answers = model(**in_parallel(inputs, ["a1", "a0"]))[0].chunk(2)
    for name, answer in zip(("a1", "a0"), answers, strict=True):
        model.base_model.set_adapter(name)
        torch.testing.assert_close(answer, output(model, inputs), rtol=1e-5, atol=1e-5)


def test_gradient_checkpointing_and_bfloat16() -> None:
    model = adapted("gpt2", "pfeiffer", {}, {})
    without_dropout(model)
    fuse(model, ["a0", "a1"], "ab", temperature=True)
    randomise(model, seed=2)
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            with pytest.warns(FutureWarning):
                model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.zero_grad()
        for layer in layers(model):
            layer.composition_parts("ab")["temperature"].steps.zero_()
        model.train()(**inputs_for("gpt2"))[0].square().mean().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 0
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
    assert output(model.eval().to(torch.bfloat16), inputs_for("gpt2")).isfinite().all()


def test_refused() -> None:
    model = adapted("bert", "houlsby", {}, {}, {"train_layernorm": True})
    fuse(model, ["a0", "a1"], "ab")
    cases: list[tuple[Any, str]] = [
        (
            lambda: fuse(model, ["a0", "no"], "x"),
            r"unknown adapters \['no'\]; the model has \['a0', 'a1', 'a2', 'ab'\]",
        ),
        (lambda: fuse(model, ["a0"], "x"), "two or more different names, got \\['a0'\\]"),
        (lambda: fuse(model, ["a0", "a0"], "x"), "two or more different names"),
        (lambda: fuse(model, ["a0", "ab"], "x"), "Adapter 'ab' has composition="),
        (lambda: fuse(model, ["a0", "a2"], "x"), "Adapter 'a2' has train_layernorm=True"),
        (lambda: fuse(model, ["a0", "a1"], "x", dropout=1.0), "dropout must be a number in \\[0, 1\\), got 1.0"),
        (lambda: fuse(model, ["a0", "a1"], "x", query="yes"), "query must be True or False, got 'yes'"),
        (lambda: average(model, ["a0", "a1"], "x", [1.0]), "weights must be 2 numbers"),
        (lambda: model.base_model.add_weighted_adapter(["a0", "ab"], [1, 1], "x"), r"\['ab'\] are made of others"),
        (lambda: METHODS["houlsby"](composition={"adapters": ["a", "b"], "heat": 1}), "is no Fusion: .*heat"),
        (lambda: METHODS["houlsby"](composition=3), "composition must be Average.* got 3"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()
        assert "x" not in model.peft_config
    parallel = get_peft_model(tiny_model("bert"), METHODS["parallel_adapter"](foldable=True), adapter_name="one")
    parallel.add_adapter("two", METHODS["parallel_adapter"](foldable=True))
    average(parallel, ["one", "two"], "both")
    with pytest.raises(ValueError, match="'both' cannot be folded: it is made of other adapters"):
        parallel.merge_adapter()
