"""Every family, every method: an exact no-op at the start, an effect afterwards, gradients only where they belong."""

from __future__ import annotations

import pytest
import torch
from equations import METHODS, layers, output, randomise, without_dropout
from peft import get_peft_model
from tiny_models import CONFIGURATIONS, tiny_inputs, tiny_model

from peft_bottleneck import ParallelAdapterConfig
from peft_bottleneck.sites import FAMILIES

SITES_PER_BLOCK = {"houlsby": 2, "pfeiffer": 1, "parallel_adapter": 1}
BLOCKS = {"albert": 1, "clip": 4} | dict.fromkeys(
    ("bart", "mbart", "marian", "m2m_100", "pegasus", "t5", "mt5", "umt5", "whisper"), 4
)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model_type", CONFIGURATIONS)
def test_family(model_type: str, method: str) -> None:
    inputs = tiny_inputs(model_type)
    plain = output(tiny_model(model_type), inputs)

    model = get_peft_model(tiny_model(model_type), METHODS[method]()).eval()
    assert torch.equal(output(model, inputs), plain)
    assert len(layers(model)) == BLOCKS.get(model_type, 2) * SITES_PER_BLOCK[method]

    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trainable == {name for name, _ in model.named_parameters() if f".{method}_" in name}
    randomise(model)
    adapted = output(model, inputs)
    assert not torch.allclose(adapted, plain, atol=1e-4)

    without_dropout(model.train())
    result = model(**inputs)
    loss = result.logits_per_image if model_type == "clip" else result[0]
    loss.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None and bool(parameter.grad.any())) == (name in trainable), name

    with model.disable_adapter():
        assert torch.equal(output(model.eval(), inputs), plain)
    assert torch.equal(output(model.unload().eval(), inputs), plain)


@pytest.mark.parametrize("model_type", CONFIGURATIONS)
def test_the_residual_stream_is_another_input(model_type: str) -> None:
    """Before the norm in pre-LN families; in post-LN families, and where nothing normalises, it is the FFN's input."""
    inputs = tiny_inputs(model_type)
    outputs = []
    for parallel_input in ("ffn", "residual"):
        config = ParallelAdapterConfig(parallel_input=parallel_input)
        outputs.append(output(randomise(get_peft_model(tiny_model(model_type), config)).eval(), inputs))
    row = next(row for row in FAMILIES if model_type in row.model_types)
    same = row.ffn_norm is not None or row.residual == (row.ffn,)
    assert torch.equal(*outputs) == same


def test_every_row_is_tested() -> None:
    untested = {name for row in FAMILIES for name in row.model_types} - CONFIGURATIONS.keys()
    # These share their row, and their module names, with a tested model type.
    assert untested == {
        "camembert",
        "ernie",
        "data2vec-text",
        "plbart",
        "blenderbot-small",
        "blenderbot",
        "clip_text_model",
        "clip_vision_model",
    }
