"""Several adapters in one batch, `adapter_names=[…]`: each row as by its own adapter, together and in training too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from equations import layers, without_dropout
from mixed_batches import BASE, MIXED, ROWS, adapted, check, inputs_for, one_by_one, together
from peft import PeftModel
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForSequenceClassification

FORMS: dict[str, list[dict[str, Any]]] = {
    "equal": [{}] * 3,
    "gated": [{"bottleneck": "gated", "non_linearity": "gelu"}] * 3,
    "sizes": [{"bottleneck_size": 2}, {"bottleneck_size": 5}, {"bottleneck_size": 2}],
    "scaling": [{"scaling": "learned"}, {"scaling": "learned"}, {"scaling": "channel"}],
    "numbers": [{"scaling": 0.5}, {"scaling": 2.0}, {"scaling": 0.5}],
    "no bias": [{"use_bias": False}, {"use_bias": False}, {"use_bias": True}],
    "activations": [{"non_linearity": "relu"}, {"non_linearity": "leakyrelu"}, {"non_linearity": "gelu_new"}],
    "blocks": [{"layers_to_transform": [0]}, {}, {"layers_to_transform": [1]}],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("model_type", "method"),
    [("bert", "houlsby"), ("bert", "pfeiffer"), ("bert", "parallel_adapter"), ("gpt2", "pfeiffer"), ("t5", "houlsby")],
)
def test_each_row_has_its_own(model_type: str, method: str, form: str) -> None:
    model = adapted(model_type, method, *FORMS[form])
    inputs = inputs_for(model_type)
    check(model, inputs, MIXED)
    for names in (["a0"] * ROWS, [BASE] * ROWS, ["a2", "a0"] * 3 + ["a2"], ["a1"] * 6 + ["a0"]):
        torch.testing.assert_close(
            together(model, inputs, names), one_by_one(model, inputs, names), rtol=1e-5, atol=1e-5
        )


class Products(TorchDispatchMode):
    """Counts matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func._schema.name in ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::linear")
        return func(*args, **(kwargs or {}))


def test_as_many_products_for_six_adapters_as_for_one() -> None:
    model = adapted("bert", "houlsby", *[{}] * 6)
    inputs = inputs_for("bert", 6)
    counts = []
    for names in (["a0"] * 6, [f"a{number}" for number in (3, 1, 0, 5, 4, 2)], ["a4", "a4", "a1", "a0", "a0", "a0"]):
        with Products() as products:
            together(model, inputs, names)
        counts.append(products.count)
    assert len(set(counts)) == 1


def gradients(model: PeftModel, name: str) -> dict[str, Tensor]:
    return {key: p.grad for key, p in model.named_parameters() if f".{name}." in key and p.grad is not None}


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable. is deprecated:FutureWarning")
@pytest.mark.parametrize("checkpointing", [None, {"use_reentrant": False}, {"use_reentrant": True}])
@pytest.mark.parametrize(
    ("model_type", "method", "option"),
    [
        ("bert", "houlsby", {}),
        ("bert", "houlsby", {"train_layernorm": True}),
        ("roberta", "pfeiffer", {"bottleneck": "gated"}),
        ("llama", "pfeiffer", {"scaling": "channel"}),
        ("gpt2", "parallel_adapter", {"bottleneck_size": 3}),
    ],
)
def test_gradients_as_of_training_apart(
    model_type: str, method: str, option: dict[str, Any], checkpointing: dict[str, bool] | None
) -> None:
    options = [option, {**option, "dropout": 0.0, "bottleneck_size": 4}, option]
    for one in options:
        one["task_type"] = "SEQ_CLS"  # each adapter has its own task head
    model = adapted(model_type, method, *options, auto_class=AutoModelForSequenceClassification)
    model.config.pad_token_id = 0
    without_dropout(model)
    if checkpointing is not None:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=checkpointing)
        if checkpointing["use_reentrant"]:
            model.enable_input_require_grads()
    model.train()
    names = ["a1", "a0", "a1", "a2", "a1", "a0"]
    inputs = inputs_for(model_type, len(names))
    weights = torch.tensor([0.3, -1.0, 0.7, 2.0, -0.4, 0.9]).unsqueeze(1)
    model.set_requires_grad(["a0", "a1", "a2"])
    logits = model(**inputs, adapter_names=names).logits
    (logits.tanh() * weights).sum().backward()
    mixed = {name: gradients(model, name) for name in ("a0", "a1", "a2")}
    for name in ("a0", "a1", "a2"):
        model.zero_grad()
        model.set_adapter(name)
        own = torch.tensor([row for row, other in enumerate(names) if other == name])
        apart = model(**{key: value[own] for key, value in inputs.items()}).logits
        torch.testing.assert_close(logits[own], apart, rtol=1e-5, atol=1e-5)
        (apart.tanh() * weights[own]).sum().backward()
        expected = gradients(model, name)
        assert any("modules_to_save" in key for key in expected)
        assert mixed[name].keys() == expected.keys()
        for key, gradient in expected.items():
            torch.testing.assert_close(mixed[name][key], gradient, rtol=1e-4, atol=1e-6, msg=key)


def test_a_row_whose_adapter_has_no_head_of_its_own() -> None:
    model = adapted(
        "bert",
        "houlsby",
        {"modules_to_save": ["classifier"]},
        {},
        {"modules_to_save": ["classifier"]},
        auto_class=AutoModelForSequenceClassification,
    )
    inputs = inputs_for("bert")
    for active in ("a0", "a1"):  # which adapter is set does not matter
        expected = one_by_one(model, inputs, MIXED)
        model.base_model.set_adapter(active)
        torch.testing.assert_close(together(model, inputs, MIXED), expected, rtol=1e-5, atol=1e-5)


def test_refused() -> None:
    model = adapted("bert", "houlsby", {}, {})
    inputs = inputs_for("bert")
    with pytest.raises(ValueError, match=r"adapter\(s\): other; the model has \['__base__', 'a0', 'a1'\]"):
        model(**inputs, adapter_names=["a0"] * 6 + ["other"])
    with pytest.raises(ValueError, match="same as the number of inputs, but got 2 and 7 respectively"):
        model(**inputs, adapter_names=["a0", "a1"])
    assert all(layer.rows is None for layer in layers(model))
