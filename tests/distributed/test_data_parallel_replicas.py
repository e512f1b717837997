"""Replicas as `nn.DataParallel` makes them: a module's copy must compute with the copy's weights.

`nn.DataParallel` itself needs two GPUs. What it does to a model is `replicate`, which copies every module by
`_replicate_for_data_parallel` and puts copies of the parameters into the copies; that is done here on the CPU, with
other values in the parameters so that a use of the original ones shows.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from equations import METHODS, output, randomise, without_dropout
from peft import get_peft_model
from tiny_models import tiny_inputs, tiny_model
from torch import Tensor, nn

from peft_bottleneck import HoulsbyConfig

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "gated": {"bottleneck": "gated"},
    "learned": {"scaling": "learned"},
}


def replica(model: nn.Module, parameters: dict[str, Tensor]) -> nn.Module:
    """What `torch.nn.parallel.replicate` puts on one device, with these parameters."""
    copies = {module: module._replicate_for_data_parallel() for module in model.modules()}  # type: ignore[operator]
    for name, module in model.named_modules():
        for key, child in module._modules.items():
            setattr(copies[module], key, None if child is None else copies[child])
        for key, parameter in module._parameters.items():
            value = None if parameter is None else parameters[f"{name}.{key}".removeprefix(".")]
            setattr(copies[module], key, value)
    return copies[model]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model_type", ["bert", "opt", "llama", "t5"])
def test_a_replica_computes_with_its_own_weights(model_type: str, method: str, variant: str) -> None:
    model = randomise(get_peft_model(tiny_model(model_type), METHODS[method](**VARIANTS[variant]))).eval()
    other = randomise(copy.deepcopy(model), seed=1)
    inputs = tiny_inputs(model_type)
    expected = output(other, inputs)
    assert not torch.allclose(output(model, inputs), expected, atol=1e-3)
    parameters = dict(other.named_parameters(remove_duplicate=False))
    torch.testing.assert_close(output(replica(model, parameters), inputs), expected)


def test_gradients_reach_the_weights_that_were_copied() -> None:
    model = randomise(get_peft_model(tiny_model("opt"), METHODS["parallel_adapter"]()))
    copies = {name: p.clone() for name, p in model.named_parameters(remove_duplicate=False)}
    replica(model, copies)(**tiny_inputs("opt"))[0].square().mean().backward()
    assert all(bool(p.grad.any()) for p in model.parameters() if p.requires_grad)


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable. is deprecated:FutureWarning")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model_type", ["bert", "llama"])
def test_a_checkpointing_replica_computes_with_its_own_weights(model_type: str, method: str) -> None:
    model = without_dropout(randomise(get_peft_model(tiny_model(model_type), METHODS[method]()))).train()
    model.base_model.model.gradient_checkpointing_enable({"use_reentrant": False})
    inputs = tiny_inputs(model_type) | ({} if model_type == "bert" else {"use_cache": False})
    own = model(**inputs)[0]  # after which its blocks know what to recompute
    other = randomise(copy.deepcopy(model), seed=1)
    expected = other(**inputs)[0]
    assert not torch.allclose(own, expected, atol=1e-3)
    found = replica(model, dict(other.named_parameters(remove_duplicate=False)))(**inputs)[0]
    torch.testing.assert_close(found, expected)
    found.square().mean().backward()
    assert all(bool(p.grad.any()) for p in other.parameters() if p.requires_grad)
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(model(**inputs)[0], own)


def test_a_convolution_refuses() -> None:
    model = get_peft_model(tiny_model("bert"), HoulsbyConfig(bottleneck="conv")).eval()
    parameters = dict(model.named_parameters(remove_duplicate=False))
    with pytest.raises(RuntimeError, match="does not work under nn.DataParallel"):
        output(replica(model, parameters), tiny_inputs("bert"))
