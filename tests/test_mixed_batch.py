"""Several adapters in one batch, `adapter_names=[…]`: each row as by its own adapter, together and in training too."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from equations import METHODS, layers, loss, output, randomise, without_dropout
from peft import PeftModel, get_peft_model, get_peft_model_state_dict
from peft.utils.hotswap import hotswap_adapter_from_state_dict
from tiny_models import tiny_inputs, tiny_model
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForSequenceClassification

ROWS = 7
BASE = "__base__"


def inputs_for(model_type: str, rows: int = ROWS) -> dict[str, Tensor]:
    """More rows of what the tiny models are called with, no two of them alike."""
    generator = torch.Generator().manual_seed(3)
    given = tiny_inputs(model_type)
    return {
        name: torch.randint(3, 90, (rows, *tensor.shape[1:]), generator=generator)
        if name.endswith("ids")
        else torch.ones(rows, *tensor.shape[1:], dtype=tensor.dtype)
        for name, tensor in given.items()
    }


def adapted(model_type: str, method: str, *options: dict[str, Any], auto_class: Any = None) -> PeftModel:
    """A model with the adapters `a0`, `a1`, …, one for each set of options, all drawn."""
    base = tiny_model(model_type, auto_class) if auto_class else tiny_model(model_type)
    model: Any = None
    for number, option in enumerate(options):
        config = METHODS[method](**{"bottleneck_size": 4, "init_weights": False, **option})
        if model is None:
            model = get_peft_model(base, config, adapter_name="a0")
        else:
            model.add_adapter(f"a{number}", config)
    model.set_requires_grad(list(model.peft_config))
    randomise(model)
    return model.eval()


def one_by_one(model: PeftModel, inputs: dict[str, Tensor], names: list[str]) -> Tensor:
    """What each row's adapter, set for the whole batch, gives for that row."""
    found = []
    for row, name in enumerate(names):
        if name == BASE:
            with model.disable_adapter():
                found.append(output(model, inputs)[row])
        else:
            model.base_model.set_adapter(name)
            found.append(output(model, inputs)[row])
    return torch.stack(found)


@torch.no_grad()
def together(model: PeftModel, inputs: dict[str, Tensor], names: list[str]) -> Tensor:
    return model(**inputs, adapter_names=names)[0]


def check(model: PeftModel, inputs: dict[str, Tensor], names: list[str]) -> None:
    expected = one_by_one(model, inputs, names)
    torch.testing.assert_close(together(model, inputs, names), expected, rtol=1e-5, atol=1e-5)


MIXED = ["a1", BASE, "a0", "a1", "a2", "a1", "a0"]
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
