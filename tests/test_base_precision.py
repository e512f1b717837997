"""Bases of 16 bits, and autocast."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from equations import METHODS, layers, output, randomise
from peft import get_peft_model
from tiny_models import tiny_inputs, tiny_model
from torch import Tensor, nn


def test_half_precision_base() -> None:
    for dtype in (torch.bfloat16, torch.float16):
        for autocast in (True, False):
            for method in METHODS.values():
                model = get_peft_model(tiny_model("llama").to(dtype), method(), autocast_adapter_dtype=autocast)
                weight = layers(model)[0]._part("down")["default"].weight
                assert weight.dtype == (torch.float32 if autocast else dtype)
                assert output(model.eval(), tiny_inputs("llama")).dtype == dtype


@pytest.mark.parametrize("method", METHODS)
def test_autocast_reads_a_half_precision_base_without_a_copy_in_float32(method: str) -> None:
    model = randomise(get_peft_model(tiny_model("llama").to(torch.bfloat16), METHODS[method]())).eval()
    types: list[torch.dtype] = []

    def compute(*, by_way_of_float32: bool) -> Tensor:
        def before(module: nn.Module, args: tuple[Tensor, ...]) -> Any:
            types.append(args[0].dtype)
            return args[0].float() if by_way_of_float32 else None

        hooks = [layer._part("down")["default"].register_forward_pre_hook(before) for layer in layers(model)]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = output(model, tiny_inputs("llama"))
        for hook in hooks:
            hook.remove()
        return result

    expected = compute(by_way_of_float32=True)
    assert torch.equal(compute(by_way_of_float32=False), expected)
    assert set(types) == {torch.bfloat16}
