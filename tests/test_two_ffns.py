"""Blocks with an FFN for each of two inputs, as those of a Q-Former: both are adapted, or neither."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from equations import layers, randomise
from peft import get_peft_model
from torch import Tensor, nn
from transformers import AutoConfig, Blip2ForImageTextRetrieval, InstructBlipForConditionalGeneration

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig

pytestmark = pytest.mark.filterwarnings("ignore:No sites are known:UserWarning")

WIDTH = 16


def test_ffns_of_two_parts_of_one_sequence_are_side_by_side() -> None:
    """A Q-Former's queries have a cross-attention and an FFN of their own, and the text beside them another one."""
    sizes: dict[str, Any] = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
    config = AutoConfig.for_model(
        "instructblip",
        vision_config=sizes | dict(image_size=28, patch_size=14),
        qformer_config=sizes | dict(encoder_hidden_size=32, vocab_size=99, cross_attention_frequency=1),
        text_config=sizes | dict(model_type="llama", vocab_size=99, num_key_value_heads=2),
        num_query_tokens=4,
    )
    with torch.device("meta"):
        model = InstructBlipForConditionalGeneration(config)
    outputs = r"output\\.dense and output_query\\.dense"
    with pytest.raises(ValueError, match=rf"{outputs} compute it side by side. Use PfeifferConfig; or"):
        get_peft_model(model, HoulsbyConfig())
    with pytest.raises(ValueError, match=rf"{outputs} end two FFNs side by side, which read two tensors"):
        get_peft_model(model, ParallelAdapterConfig(exclude_modules=r"(?!qformer\.).*"))
    adapted = get_peft_model(model, PfeifferConfig())
    assert len(layers(adapted)) == 6


@pytest.fixture
def retrieval() -> Blip2ForImageTextRetrieval:
    """It calls its Q-Former for the image, and once more for the text: each block has an FFN for either."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
    config = AutoConfig.for_model(
        "blip-2",
        vision_config=sizes | dict(image_size=28, patch_size=14),
        qformer_config=sizes
        | dict(encoder_hidden_size=32, vocab_size=99, cross_attention_frequency=1, use_qformer_text_input=True),
        text_config=sizes | dict(model_type="opt", vocab_size=99, ffn_dim=48, word_embed_proj_dim=32),
        num_query_tokens=4,
        image_text_hidden_size=16,
    )
    return Blip2ForImageTextRetrieval(config).eval()


def test_an_ffn_of_another_call_is_side_by_side(retrieval: Blip2ForImageTextRetrieval) -> None:
    with pytest.raises(ValueError, match=r"output\\.dense and output_query\\.dense compute it side by side"):
        get_peft_model(retrieval, HoulsbyConfig())


def test_the_end_of_a_block_is_adapted_in_every_call(retrieval: Blip2ForImageTextRetrieval) -> None:
    inputs = {"pixel_values": torch.randn(1, 3, 28, 28), "input_ids": torch.randint(3, 99, (1, 6))}
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with torch.no_grad():
        before = retrieval(**inputs)
        adapted = get_peft_model(retrieval, PfeifferConfig(exclude_modules=r"vision_model\..*")).eval()
        torch.testing.assert_close(adapted(**inputs).image_embeds, before.image_embeds, rtol=0, atol=0)
        after = randomise(adapted)(**inputs)
    for part in ("image_embeds", "text_embeds"):
        assert not torch.allclose(getattr(after, part), getattr(before, part)), part


class WithIdle(nn.Module):
    """A block whose call leaves out one of its maps."""

    def __init__(self, name: str, *sizes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.attn = nn.ModuleDict({"value": nn.Linear(WIDTH, WIDTH), "out": nn.Linear(WIDTH, WIDTH)})
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 48), nn.ReLU(), nn.Linear(48, WIDTH))
        self.add_module(name, nn.Linear(*sizes))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn["out"](torch.tanh(self.attn["value"](x)))
        return x + self.mlp(self.norm(x))


@pytest.mark.parametrize("idle", [(48, WIDTH), (WIDTH, 48)])
@pytest.mark.parametrize("name", ["output_query", "cross_attention", "experts"])
def test_a_matrix_that_no_call_reaches_is_another_ffn_if_it_may_be(idle: tuple[int, int], name: str) -> None:
    blocks = nn.ModuleDict({"blocks": nn.ModuleList([WithIdle(name, *idle), WithIdle(name, *idle)])})
    if name == "output_query":
        with pytest.raises(ValueError, match=r"mlp\\.2 and output_query"):
            get_peft_model(blocks, HoulsbyConfig())
    else:
        assert len(layers(get_peft_model(blocks, HoulsbyConfig()))) == 4
