"""Export, functional calls, `vmap` and copies of a used model give its values, and leave it as it was."""

from __future__ import annotations

import copy
import gc
import importlib.util
import inspect
from typing import Any

import pytest
import torch
from equations import METHODS, layers, output, randomise
from peft import get_peft_model
from tiny_models import tiny_inputs, tiny_model
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

# BERT: around a norm, and an FFN of two modules, whose input is tapped; Llama: on a block's output, beside one module.
FAMILIES = ("bert", "llama")
pytestmark = [
    pytest.mark.parametrize("model_type", FAMILIES),
    pytest.mark.parametrize("method", METHODS),
]


class FirstOutput(nn.Module):
    """The model as a function of token numbers."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor) -> Tensor:
        result: Tensor = self.model(input_ids=input_ids)[0]
        return result


def used(model_type: str, method: str) -> tuple[Any, Tensor, Tensor]:
    """A model after a call, with that call's input and output."""
    changes = {"attn_implementation": "eager", **({} if model_type == "bert" else {"use_cache": False})}
    model = randomise(get_peft_model(tiny_model(model_type, **changes), METHODS[method]())).eval()
    ids = tiny_inputs(model_type)["input_ids"]
    return model, ids, output(model, {"input_ids": ids})


def is_as_before(model: Any, ids: Tensor, expected: Tensor) -> None:
    """The model answers with real tensors of the same values, and its layers hold no others."""
    answer = output(model, {"input_ids": ids})
    assert not isinstance(answer, FakeTensor)
    assert torch.equal(answer, expected)
    for layer in layers(model):
        assert not any(tap.held for tap in layer.taps.values())


def test_export(model_type: str, method: str) -> None:
    model, ids, expected = used(model_type, method)
    program = torch.export.export(FirstOutput(model), (ids,), strict=False)
    is_as_before(model, ids, expected)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(ids), expected)
    del program
    gc.collect()
    is_as_before(model, ids, expected)


@pytest.mark.parametrize("form", ["plain", "gated"])
def test_an_export_takes_inputs_of_other_sizes(model_type: str, method: str, form: str) -> None:
    """Of the adapter that is active when it is made; an input of an earlier call leaves no size behind."""
    model, ids, _ = used(model_type, method)
    model.add_adapter("other", METHODS[method](bottleneck=form, bottleneck_size=3))
    model.set_adapter("other")
    expected = output(randomise(model, seed=1), {"input_ids": ids})
    any_size = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    program = torch.export.export(FirstOutput(model), (ids[:2, :5],), dynamic_shapes=(any_size,), strict=False)
    is_as_before(model, ids, expected)
    # The check of sizes that newer torch puts into programs fails on these models, with and without adapters.
    unchecked = {"check_guards": False} if "check_guards" in inspect.signature(program.module).parameters else {}
    with torch.no_grad():
        torch.testing.assert_close(program.module(**unchecked)(ids), expected)


@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning")
@pytest.mark.skipif(importlib.util.find_spec("onnxscript") is None, reason="onnxscript is not installed")
def test_onnx_export(model_type: str, method: str) -> None:
    model, ids, expected = used(model_type, method)
    program = torch.onnx.export(FirstOutput(model).eval(), (ids,), dynamo=True, verbose=False)
    is_as_before(model, ids, expected)
    assert program is not None
    torch.testing.assert_close(program(ids)[0], expected)


def test_functional_call(model_type: str, method: str) -> None:
    model, ids, expected = used(model_type, method)
    doubled = {name: 2 * value for name, value in model.named_parameters() if value.requires_grad}
    with torch.no_grad():
        other = torch.func.functional_call(model, doubled, (), {"input_ids": ids})[0]
    assert not torch.allclose(other, expected, atol=1e-3)
    is_as_before(model, ids, expected)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name in doubled:
                value.mul_(2)
    torch.testing.assert_close(output(model, {"input_ids": ids}), other)


def test_vmap_over_the_parameters_of_an_ensemble(model_type: str, method: str) -> None:
    model, ids, expected = used(model_type, method)
    own = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
    stacked = {name: torch.stack([value, 2 * value]) for name, value in own.items()}
    with torch.no_grad():
        both = torch.vmap(lambda weights: torch.func.functional_call(FirstOutput(model), weights, (ids,)))(
            {f"model.{name}": value for name, value in stacked.items()}
        )
        torch.testing.assert_close(both[0], expected, atol=1e-5, rtol=1e-5)
        doubled = torch.func.functional_call(model, {name: 2 * value for name, value in own.items()}, (ids,))[0]
    torch.testing.assert_close(both[1], doubled, atol=1e-5, rtol=1e-5)
    is_as_before(model, ids, expected)


def test_a_copy_after_a_call_that_failed(model_type: str, method: str) -> None:
    """What a read point has handed over and nobody has taken goes into no copy."""
    model, ids, expected = used(model_type, method)
    module = next(module for module in model.modules() if "Activation" in type(module).__name__)
    handle = module.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model(input_ids=ids)
    handle.remove()
    other = copy.deepcopy(model)
    assert not any(tap.held for layer in layers(other) for tap in layer.taps.values())
    is_as_before(other, ids, expected)
    is_as_before(model, ids, expected)
