"""Models whose blocks differ: every block gets its adapters, and every adapter takes part in the result."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from equations import METHODS, layers, output, randomise
from peft import get_peft_model
from tiny_models import CONFIGURATIONS
from transformers import AutoConfig, AutoModel

from peft_bottleneck import ParallelAdapterConfig
from peft_bottleneck.sites.structure import family_from_structure

DECODER: dict[str, Any] = CONFIGURATIONS["llama"] | dict(num_hidden_layers=4, head_dim=8)
ATTENTION_EVERY_OTHER = ["linear_attention", "full_attention"] * 2
IMAGE, PATCH, IMAGE_TOKEN = 16, 4, 98
VISION: dict[str, Any] = dict(
    model_type="clip_vision_model",
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    projection_dim=16,
    image_size=IMAGE,
    patch_size=PATCH,
)
# model type -> configuration, blocks, and the attention outputs, the FFN's output and the FFN that the structure shows
DIFFERING: dict[str, tuple[dict[str, Any], int, tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "glm4_moe": (  # an FFN in the first block, a mixture of experts in the others
        DECODER
        | dict(
            moe_intermediate_size=16, n_routed_experts=4, num_experts_per_tok=2, first_k_dense_replace=1, n_group=1
        ),
        4,
        ("self_attn.o_proj",),
        (),
        ("mlp",),
    ),
    "jamba": (  # blocks of two classes
        DECODER
        | dict(attn_layer_period=2, attn_layer_offset=1, expert_layer_period=2, expert_layer_offset=1, num_experts=4)
        | dict(mamba_d_state=4, mamba_dt_rank=4, use_mamba_kernels=False),
        4,
        ("mamba", "self_attn.o_proj"),
        (),
        ("feed_forward",),
    ),
    "lfm2": (
        DECODER | dict(layer_types=["conv", "full_attention"] * 2, block_multiple_of=8),
        4,
        ("conv", "self_attn.out_proj"),
        ("feed_forward.w2",),
        ("feed_forward",),
    ),
    "qwen3_next": (
        DECODER
        | dict(layer_types=ATTENTION_EVERY_OTHER, linear_num_value_heads=4, linear_num_key_heads=2)
        | dict(linear_key_head_dim=8, linear_value_head_dim=8, num_experts=4, num_experts_per_tok=2)
        | dict(moe_intermediate_size=16, shared_expert_intermediate_size=16, mlp_only_layers=[0]),
        4,
        ("linear_attn.out_proj", "self_attn.o_proj"),
        (),
        ("mlp",),
    ),
    "llama4_text": (  # its mixture of experts returns [batch·tokens, d]
        DECODER | dict(intermediate_size_mlp=64, num_local_experts=4, interleave_moe_layer_step=2),
        4,
        ("self_attn.o_proj",),
        (),
        ("feed_forward",),
    ),
    "switch_transformers": (
        dict(vocab_size=99, d_model=32, d_kv=8, d_ff=64, num_layers=4, num_decoder_layers=4, num_heads=4)
        | dict(num_experts=2, num_sparse_encoder_layers=2, num_sparse_decoder_layers=2, decoder_start_token_id=0),
        8,
        ("layer.0.SelfAttention.o",),
        (),
        ("layer.1.mlp", "layer.2.mlp"),
    ),
    "swin": (  # stages of blocks
        dict(image_size=IMAGE, patch_size=2, embed_dim=16, depths=[1, 2], num_heads=[2, 4], window_size=4),
        3,
        ("attention.o_proj",),
        ("mlp.fc2",),
        ("mlp",),
    ),
    "llava": (  # a vision and a language model
        dict(text_config=DECODER | {"model_type": "llama"}, vision_config=VISION, vision_feature_layer=-1)
        | dict(image_token_index=IMAGE_TOKEN, image_token_id=IMAGE_TOKEN),
        6,
        ("self_attn.out_proj", "self_attn.o_proj"),
        ("mlp.fc2", "mlp.down_proj"),
        ("mlp",),
    ),
}
pytestmark = pytest.mark.filterwarnings("ignore:No sites are known:UserWarning")


def build(model_type: str) -> tuple[Any, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(model_type, **DIFFERING[model_type][0])).eval()
    tokens, pixels = torch.randint(3, 90, (2, 8)), torch.randn(2, 3, IMAGE, IMAGE)
    if model_type == "swin":
        return model, {"pixel_values": pixels}
    if model_type == "llava":
        image = torch.full((2, (IMAGE // PATCH) ** 2), IMAGE_TOKEN)
        return model, {"input_ids": torch.cat([image, tokens], dim=1), "pixel_values": pixels}
    return model, {"input_ids": tokens} | (
        {"decoder_input_ids": tokens} if model_type == "switch_transformers" else {}
    )


@pytest.mark.parametrize("model_type", DIFFERING)
def test_what_the_structure_shows(model_type: str) -> None:
    _, _, attention_outputs, ffn_outputs, ffns = DIFFERING[model_type]
    row = family_from_structure(build(model_type)[0])
    shown = (row.attention_output, row.ffn_output or "", row.ffn or "")
    assert tuple(names.replace("\\", "") for names in shown) == tuple(
        "|".join(names) for names in (attention_outputs, ffn_outputs, ffns)
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model_type", DIFFERING)
def test_every_block_is_adapted(model_type: str, method: str) -> None:
    model, inputs = build(model_type)
    plain = output(model, inputs)
    adapted = get_peft_model(model, METHODS[method](reduction_factor=4)).eval()
    assert len(layers(adapted)) == DIFFERING[model_type][1] * (2 if method == "houlsby" else 1)
    assert torch.equal(output(adapted, inputs), plain)
    randomise(adapted)
    adapted(**inputs).last_hidden_state.square().mean().backward()
    for name, parameter in adapted.named_parameters():
        if parameter.requires_grad and not name.endswith("bias"):
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model_type", DIFFERING)
def test_another_adapter_finds_the_same_places(model_type: str, method: str) -> None:
    adapted = get_peft_model(build(model_type)[0], METHODS[method](reduction_factor=4))
    adapted.add_adapter("other", METHODS[method](reduction_factor=8))
    first, other = (adapted.peft_config[name] for name in ("default", "other"))
    assert other.target_modules == first.target_modules
    assert all({"default", "other"} == layer.bottlenecks.keys() for layer in layers(adapted))


def test_ffns_of_two_kinds_are_not_foldable() -> None:
    with pytest.raises(ValueError, match=r"foldable=True: LlavaModel has FFNs of 2 kinds \(vision_tower\..*\.mlp, "):
        get_peft_model(build("llava")[0], ParallelAdapterConfig(foldable=True))
