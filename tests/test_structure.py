"""Models without a row: the structure shows the right modules, or the refusal says what to do."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from equations import METHODS, layers, output, randomise
from peft import get_peft_model
from tiny_models import CONFIGURATIONS, tiny_model
from torch import nn
from transformers import AutoConfig, AutoModel

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig
from peft_bottleneck.sites.families import FAMILIES, family_of
from peft_bottleneck.sites.family import Family
from peft_bottleneck.sites.structure import base_modules, family_from_structure

SIZES: dict[str, Any] = dict(
    vocab_size=99, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, pad_token_id=0
)
DECODER: dict[str, Any] = SIZES | dict(num_key_value_heads=2, bos_token_id=1, eos_token_id=2)
# model type -> configuration, and what the structure should show: attention output, FFN input, FFN output, FFN
WITHOUT_ROW: dict[str, tuple[dict[str, Any], tuple[str, tuple[str, ...], str | None, str | None]]] = {
    "roformer": (SIZES, ("attention.output.dense", ("intermediate.dense",), "output.dense", None)),
    "rembert": (
        SIZES | dict(input_embedding_size=16, output_embedding_size=16),
        ("attention.output.dense", ("intermediate.dense",), "output.dense", None),
    ),
    "codegen": (
        dict(
            vocab_size=99, n_embd=32, n_layer=2, n_head=4, n_positions=64, rotary_dim=4, bos_token_id=1, eos_token_id=2
        ),
        ("attn.out_proj", ("mlp.fc_in",), "mlp.fc_out", "mlp"),
    ),
    "biogpt": (DECODER, ("self_attn.out_proj", ("fc1",), "fc2", None)),
    "olmo": (DECODER, ("self_attn.o_proj", ("mlp.gate_proj", "mlp.up_proj"), "mlp.down_proj", "mlp")),
    "nemotron": (DECODER, ("self_attn.o_proj", ("mlp.up_proj",), "mlp.down_proj", "mlp")),
    "glm": (DECODER | dict(head_dim=8), ("self_attn.o_proj", ("mlp.gate_up_proj",), "mlp.down_proj", "mlp")),
    "qwen2_moe": (
        DECODER | dict(moe_intermediate_size=16, shared_expert_intermediate_size=48, num_experts=4),
        ("self_attn.o_proj", (), None, "mlp"),
    ),
    "dinov2": (
        dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, image_size=16, patch_size=4),
        ("attention.o_proj", ("mlp.fc1",), "mlp.fc2", "mlp"),
    ),
}


def build(model_type: str) -> tuple[Any, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(model_type, **WITHOUT_ROW[model_type][0])).eval()
    if model_type == "dinov2":
        return model, {"pixel_values": torch.randn(2, 3, 16, 16)}
    return model, {"input_ids": torch.randint(3, 99, (2, 8))}


@pytest.mark.parametrize("model_type", WITHOUT_ROW)
def test_without_a_row(model_type: str) -> None:
    model, inputs = build(model_type)
    plain = output(model, inputs)
    row = family_from_structure(model)
    shown = (row.attention_output, row.ffn_input, row.ffn_output, row.ffn)
    expected = WITHOUT_ROW[model_type][1]
    escaped = (re.escape(expected[0]), tuple(map(re.escape, expected[1])))
    assert shown == (*escaped, *(name if name is None else re.escape(name) for name in expected[2:]))
    for method in METHODS.values():
        model, inputs = build(model_type)
        with pytest.warns(UserWarning, match=f"No sites are known for model_type='{model_type}'.*by its structure"):
            adapted = get_peft_model(model, method())
        assert torch.equal(output(adapted.eval(), inputs), plain)
        randomise(adapted)
        assert not torch.allclose(output(adapted, inputs), plain, atol=1e-4)


@pytest.mark.parametrize("model_type", sorted(CONFIGURATIONS))
def test_the_structure_agrees_with_the_rows(model_type: str) -> None:
    model = tiny_model(model_type)
    row = family_of(model)
    searched = family_from_structure(model)
    assert row is not None

    def modules(family: Family, *patterns: str | None) -> list[str]:
        expression = family.path(*(pattern for pattern in patterns if pattern))
        return [name for name, _ in model.named_modules() if re.fullmatch(expression, name)]

    assert modules(searched, searched.attention_output) == modules(row, row.attention_output)
    if row.ffn_output is None:
        assert searched.ffn_output is None
    else:
        assert modules(searched, searched.ffn_output) == modules(row, row.ffn_output)
        assert modules(searched, *searched.ffn_input) == modules(row, *row.ffn_input)
    if model_type == "mobilebert":  # after the norm of the FFN, a map leads out of the block's own bottleneck
        assert searched.ffn_norm is None
        return
    assert (searched.ffn_norm is None) == (row.ffn_norm is None)
    if row.ffn_norm is not None:
        assert modules(searched, searched.ffn_norm) == modules(row, row.ffn_norm)
    elif model_type not in ("t5", "mt5", "umt5", "longt5"):  # whose encoder and decoder name it differently
        assert modules(searched, *searched.residual) == modules(row, *row.residual)
    if model_type == "bloom":  # whose `mlp` adds the residual stream, and is more than the FFN
        assert (row.ffn, searched.ffn) == ("mlp", None)
        return
    assert (searched.ffn is None) == (row.ffn is None)
    if row.ffn is not None:
        assert modules(searched, searched.ffn) == modules(row, row.ffn)


def test_no_attention_is_refused_with_advice() -> None:
    model = AutoModel.from_config(AutoConfig.for_model("mamba", vocab_size=99, hidden_size=32, num_hidden_layers=2))
    with pytest.raises(ValueError, match="No sites are known for model_type='mamba'.*Please specify `target_modules`"):
        get_peft_model(model, HoulsbyConfig())
    with pytest.raises(ValueError, match="No sites are known for model_type='custom'"):
        get_peft_model(nn.Sequential(nn.Linear(3, 3)), HoulsbyConfig())


def test_a_call_shows_what_reads_the_residual_stream() -> None:
    model, inputs = build("olmo")
    with pytest.warns(UserWarning, match="by its structure"):
        adapted = randomise(get_peft_model(model, ParallelAdapterConfig(parallel_input="residual"))).eval()
    streams, read = [], []
    for block in model.layers:
        block.post_attention_layernorm.register_forward_pre_hook(lambda module, args: streams.append(args[0]))
    for layer in layers(adapted):
        layer.parts("default")["down"].register_forward_pre_hook(lambda module, args: read.append(args[0]))
    output(adapted, inputs)
    assert len(read) == 2
    assert all(map(torch.equal, read, streams))


def test_configuration_without_a_head_fits_a_model_with_one() -> None:
    """The saved regular expressions name modules from the bare model on."""
    model, _ = build("nemotron")
    with pytest.warns(UserWarning, match="by its structure"):
        adapted = get_peft_model(model, HoulsbyConfig())
    pattern = adapted.peft_config["default"].target_modules
    assert re.fullmatch(pattern, "layers.0.self_attn.o_proj")
    assert re.fullmatch(pattern, "model.layers.0.self_attn.o_proj")
    assert len(layers(adapted)) == 4


def test_rows_are_told_apart_by_the_configuration() -> None:
    post_norm = family_of(tiny_model("opt", do_layer_norm_before=False))
    pre_norm = family_of(tiny_model("opt"))
    assert post_norm is not None
    assert pre_norm is not None
    assert (post_norm.ffn_norm, pre_norm.ffn_norm) == ("final_layer_norm", None)
    assert len({model_type for row in FAMILIES for model_type in row.model_types}) >= 44


def test_convolutions_before_the_blocks_are_none() -> None:
    sizes = SIZES | dict(conv_dim=[16, 16], conv_stride=[2, 2], conv_kernel=[3, 3], num_conv_pos_embeddings=4)
    config = AutoConfig.for_model("wav2vec2", **sizes, num_conv_pos_embedding_groups=2)
    row = family_from_structure(AutoModel.from_config(config))
    assert row.block == r"encoder\.layers\.\d+"


@pytest.mark.parametrize("method", METHODS)
def test_base_modules_are_those_without_adapters(method: str) -> None:
    names = [name for name, _ in tiny_model("llama").named_modules()]
    adapted = get_peft_model(tiny_model("llama"), METHODS[method]()).get_base_model()
    assert [name for name, _ in base_modules(adapted)] == names


def test_a_module_that_leads_back_to_itself_is_met_once() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].parent = nn.ModuleList([model])
    assert [name for name, _ in base_modules(model)] == ["", "0", "0.parent"]
