"""Calls from several threads at a time, as a server makes them: none takes what another one hands over."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from threading import Barrier

import pytest
import torch
from equations import METHODS, layers, output, randomise
from peft import get_peft_model
from tiny_models import tiny_inputs, tiny_model
from torch import Tensor, nn

from peft_bottleneck import ParallelAdapterConfig, PfeifferConfig
from peft_bottleneck.config import BottleneckConfig

CALLS = 4
# BERT and OPT: an FFN of two modules, whose input is tapped. Convolutions listen to the mask of the call.
CONFIGURATIONS: dict[str, BottleneckConfig] = {
    **{name: method(reduction_factor=4) for name, method in METHODS.items()},
    "convolution": ParallelAdapterConfig(bottleneck="conv", reduction_factor=4),
    "summands": PfeifferConfig(summand_modules=r"\g<block>.mlp+\g<block>.post_attention_layernorm"),
}


def different_inputs(model_type: str) -> list[dict[str, Tensor]]:
    given = []
    for seed in range(CALLS):
        torch.manual_seed(seed)
        ids = torch.randint(3, 90, (2, 5 + seed))
        mask = torch.ones_like(ids)
        mask[0, 3 + seed :] = 0
        given.append(tiny_inputs(model_type) | {"input_ids": ids, "attention_mask": mask})
    return given


@pytest.mark.parametrize(
    ("model_type", "name"),
    [
        *(("bert", name) for name in ("houlsby", "pfeiffer", "parallel_adapter", "convolution")),
        *(("opt", name) for name in ("parallel_adapter", "convolution")),
        ("llama", "summands"),
    ],
)
def test_every_thread_gets_its_own_result(model_type: str, name: str) -> None:
    """All calls wait inside each FFN until the others are there."""
    model = randomise(get_peft_model(tiny_model(model_type), deepcopy(CONFIGURATIONS[name]))).eval()
    inputs = different_inputs(model_type)
    expected = [output(model, given) for given in inputs]
    barrier = Barrier(CALLS, timeout=60)

    def wait(module: nn.Module, args: object) -> None:
        barrier.wait()

    inside = [module for module in model.modules() if "Activation" in type(module).__name__ or type(module) is nn.ReLU]
    assert [module.register_forward_pre_hook(wait) for module in inside]
    with ThreadPoolExecutor(CALLS) as pool:
        results = list(pool.map(lambda given: output(model, given), inputs))
    assert all(map(torch.equal, results, expected))
    for layer in layers(model):
        assert not any(tap.held for tap in layer.taps.values())
