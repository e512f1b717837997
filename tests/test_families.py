"""Every family, every method: an exact no-op at the start, an effect afterwards, gradients only where they belong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from equations import METHODS, layers, output, randomise, without_dropout
from peft import PeftModel, get_peft_model
from tiny_models import CONFIGURATIONS, ENCODER_DECODERS, tiny_inputs, tiny_model
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from peft_bottleneck import ParallelAdapterConfig
from peft_bottleneck.sites.families import FAMILIES

NOT_GENERATING = {
    *("bert", "roberta", "xlm-roberta", "distilbert", "albert", "electra", "deberta", "deberta-v2", "mpnet"),
    *("bert-generation", "modernbert", "mobilebert", "vit", "beit", "clip"),
    "whisper",  # its prompt is sound
}
GENERATING = [name for name in CONFIGURATIONS if name not in NOT_GENERATING]
SITES_PER_BLOCK = {"houlsby": 2, "pfeiffer": 1, "parallel_adapter": 1}
BLOCKS = {"albert": 1, "clip": 4} | dict.fromkeys(
    ("bart", "mbart", "marian", "m2m_100", "pegasus", "t5", "mt5", "umt5", "longt5", "whisper"), 4
)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model_type", CONFIGURATIONS)
def test_family(model_type: str, method: str, tmp_path: Path) -> None:
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

    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny_model(model_type), str(tmp_path), adapter_name="again").eval()
    assert torch.equal(output(loaded, inputs), adapted)

    without_dropout(model.train())
    result = model(**inputs)
    loss = result.logits_per_image if model_type == "clip" else result[0]
    loss.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None and bool(parameter.grad.any())) == (name in trainable), name

    with model.disable_adapter():
        assert torch.equal(output(model.eval(), inputs), plain)
    assert torch.equal(output(model.unload().eval(), inputs), plain)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model_type", GENERATING)
def test_generation(model_type: str, method: str) -> None:
    """With the cache of keys and values, and without, the adapted model says the same."""
    auto_class = AutoModelForSeq2SeqLM if model_type in ENCODER_DECODERS else AutoModelForCausalLM
    model = randomise(get_peft_model(tiny_model(model_type, auto_class), METHODS[method]())).eval()
    options: dict[str, Any] = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    prompt = {"input_ids": torch.arange(3, 9)[None], "attention_mask": torch.ones(1, 6, dtype=torch.long)}
    said = model.generate(**prompt, **options)
    assert torch.equal(said, model.generate(**prompt, **options, use_cache=False))
    assert said.shape[1] > 1


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
