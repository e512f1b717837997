"""Blocks with several residual streams, and blocks with two FFNs side by side: the right sites, or a refusal."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from equations import METHODS, layers, output, randomise
from peft import PeftConfig, get_peft_model
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig
from peft_bottleneck.sites.structure import family_from_structure

pytestmark = pytest.mark.filterwarnings("ignore:No sites are known:UserWarning")

WIDTH, STREAMS = 16, 4
DECODER: dict[str, Any] = dict(
    vocab_size=99, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, pad_token_id=0
) | dict(num_key_value_heads=2, bos_token_id=1, eos_token_id=2)
EXPERTS: dict[str, Any] = DECODER | dict(num_local_experts=4, num_experts_per_tok=2)


class Mix(nn.Module):
    """One input made of several streams, and the weights that put an output back into each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(STREAMS * WIDTH)
        self.down, self.up = nn.Linear(STREAMS * WIDTH, 8), nn.Linear(8, STREAMS * WIDTH)
        self.back = nn.Linear(STREAMS * WIDTH, STREAMS)

    def forward(self, streams: Tensor) -> tuple[Tensor, Tensor]:
        normed = self.norm(streams)
        mixed = torch.sigmoid(self.up(torch.relu(self.down(normed)))) * normed
        return mixed.unflatten(-1, (STREAMS, WIDTH)).mean(-2), torch.sigmoid(self.back(normed))


class StreamBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn_mix, self.ffn_mix = Mix(), Mix()
        self.attn = nn.ModuleDict({"value": nn.Linear(WIDTH, WIDTH), "out": nn.Linear(WIDTH, WIDTH)})
        self.ffn = nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU(), nn.Linear(32, WIDTH))

    def forward(self, streams: Tensor) -> Tensor:
        x, back = self.attn_mix(streams)
        y = self.attn["out"](torch.tanh(self.attn["value"](x)))
        streams = streams + (y.unsqueeze(-2) * back.unsqueeze(-1)).flatten(-2)
        x, back = self.ffn_mix(streams)
        return streams + (self.ffn(x).unsqueeze(-2) * back.unsqueeze(-1)).flatten(-2)


class Blocks(nn.Module):
    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def streams() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return Blocks(StreamBlock(), StreamBlock()), torch.randn(2, 5, STREAMS * WIDTH)


def adapts(model: Any, inputs: Any, config: PeftConfig) -> list[str]:
    """The names of the adapted modules, after a check that all take part and that the start is the model's own."""

    def call() -> Tensor:
        if isinstance(inputs, Tensor):
            with torch.no_grad():
                return model(inputs)  # type: ignore[no-any-return]
        return output(model, inputs)

    plain = call()
    adapted = get_peft_model(model, config).eval()
    assert torch.equal(call(), plain)
    randomise(adapted)
    called = []
    for name, module in adapted.base_model.model.named_modules():
        if module in layers(adapted):
            module.register_forward_hook(lambda module, args, result, name=name: called.append(name))
    assert not torch.allclose(call(), plain, atol=1e-4)
    assert len(called) == len(layers(adapted))
    return called


def test_the_attention_ends_where_the_rest_of_the_block_reads_it() -> None:
    """The last map that writes the size of the block mixes the streams for the attention."""
    model, _ = streams()
    row = family_from_structure(model)
    assert (row.attention_output, row.ffn_input, row.ffn_output, row.ffn) == (
        r"attn\.out",
        (r"ffn\.0",),
        r"ffn\.2",
        "ffn",
    )


@pytest.mark.parametrize("method", ["houlsby", "parallel_adapter"])
def test_streams_are_adapted_through_what_is_put_back_into_them(method: str) -> None:
    ends = ["attn.out", "ffn.2"] if method == "houlsby" else ["ffn"]
    assert adapts(*streams(), METHODS[method](bottleneck_size=4)) == [
        f"blocks.{index}.{end}" for index in range(2) for end in ends
    ]


def test_no_bottleneck_at_the_end_of_several_streams() -> None:
    model, inputs = streams()
    with pytest.raises(
        ValueError, match=r"blocks\.0 returns 64 channels in its last dimension, and its FFN writes 16"
    ) as refusal:
        get_peft_model(model, PfeifferConfig(bottleneck_size=4))
    advised = re.search(r'target_modules=r"([^"]*)"', str(refusal.value))
    assert advised is not None
    model, inputs = streams()
    found = adapts(model, inputs, PfeifferConfig(bottleneck_size=4, target_modules=advised[1]))
    assert found == ["blocks.0.ffn.2", "blocks.1.ffn.2"]


@pytest.mark.skipif("qwen4_exp_text" not in CONFIG_MAPPING, reason="this transformers has no qwen4_exp")
def test_hyper_connections_of_transformers() -> None:
    sizes = DECODER | dict(head_dim=8, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=8)
    sizes |= dict(linear_value_head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16)
    sizes |= dict(layer_types=["linear_attention"] * 2, ple_layer_ids=[], hc_lowrank=8, use_cache=False)
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model("qwen4_exp_text", **sizes)).eval()
    with pytest.raises(
        ValueError, match=r"layers\.0 returns 128 channels in its last dimension, and its FFN writes 32"
    ):
        get_peft_model(model, PfeifferConfig())
    found = adapts(model, {"input_ids": torch.randint(3, 99, (2, 8))}, HoulsbyConfig(bottleneck_size=4))
    assert found == ["layers.0.linear_attn.out_proj", "layers.0.mlp", "layers.1.linear_attn.out_proj", "layers.1.mlp"]


def shared(model_type: str = "granitemoeshared", **changed: Any) -> tuple[Any, dict[str, Tensor]]:
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **EXPERTS | {"shared_intermediate_size": 24} | changed)
    return AutoModel.from_config(config).eval(), {"input_ids": torch.randint(3, 99, (2, 8))}


def test_no_module_writes_what_experts_and_a_shared_ffn_add_up_to() -> None:
    with pytest.raises(ValueError, match=r"block_sparse_moe and shared_mlp\\.output_linear.*side by side") as refusal:
        get_peft_model(shared()[0], HoulsbyConfig())
    advised = re.search(r'target_modules=r"([^"]*)"', str(refusal.value))
    assert advised is not None
    found = adapts(*shared(), HoulsbyConfig(bottleneck_size=4, target_modules=advised[1]))
    ends = ("self_attn.o_proj", "block_sparse_moe", "shared_mlp.output_linear")
    assert found == [f"layers.{index}.{end}" for index in range(2) for end in ends]


def test_experts_without_a_shared_ffn_are_the_ffn() -> None:
    found = adapts(*shared(shared_intermediate_size=0), HoulsbyConfig(bottleneck_size=4))
    assert found == [f"layers.{index}.{end}" for index in range(2) for end in ("self_attn.o_proj", "block_sparse_moe")]


def test_beside_one_of_two_ffns_of_one_input_is_beside_their_sum() -> None:
    model, inputs = shared()
    block = model.layers[0]
    experts, other = block.block_sparse_moe, block.shared_mlp
    adapted = randomise(get_peft_model(model, ParallelAdapterConfig(bottleneck_size=4))).eval()
    seen: dict[str, Tensor] = {}
    block.block_sparse_moe.register_forward_pre_hook(lambda module, args: seen.update(x=args[0]))
    block.block_sparse_moe.register_forward_hook(lambda module, args, result: seen.update(experts=result))
    other.register_forward_hook(lambda module, args, result: seen.update(other=result))
    output(adapted, inputs)
    x, parts = seen["x"], block.block_sparse_moe.parts("default")
    with torch.no_grad():
        expected = experts(x) + other(x) + 4 * parts["up"](torch.relu(parts["down"](x)))
    torch.testing.assert_close(seen["experts"] + seen["other"], expected)


class TwoFFNs(nn.Module):
    """Tokens of two sorts have an attention in common, and an FFN each."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.ModuleDict({"value": nn.Linear(WIDTH, WIDTH), "out": nn.Linear(WIDTH, WIDTH)})
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU(), nn.Linear(32, WIDTH)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn["out"](torch.tanh(self.attn["value"](x)))
        one, other = (mlp(norm(x)) for norm, mlp in zip(self.norms, self.mlps, strict=True))
        return x + torch.cat([one[:, :2], other[:, 2:]], 1)


@pytest.mark.parametrize("config", [HoulsbyConfig(), ParallelAdapterConfig(), ParallelAdapterConfig(foldable=True)])
def test_one_of_two_ffns_is_not_adapted_alone(config: PeftConfig) -> None:
    model = Blocks(TwoFFNs(), TwoFFNs())
    with pytest.raises(ValueError, match=r"mlps\\.1\\.2 and mlps\\.0\\.2 .*side by side"):
        get_peft_model(model, config)


def test_the_end_of_a_block_with_two_ffns_is_adapted() -> None:
    torch.manual_seed(0)
    found = adapts(Blocks(TwoFFNs(), TwoFFNs()), torch.randn(2, 5, WIDTH), PfeifferConfig(bottleneck_size=4))
    assert len(found) == 2


class ExpertsBeside(nn.Module):
    """A dense FFN and experts that are the block's own, each behind a norm of the same stream."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.ModuleDict({"value": nn.Linear(WIDTH, WIDTH), "out": nn.Linear(WIDTH, WIDTH)})
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU(), nn.Linear(32, WIDTH))
        self.experts = Experts()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn["out"](torch.tanh(self.attn["value"](x)))
        return x + self.mlp(self.norms[0](x)) + self.experts(self.norms[1](x))


class Experts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x @ self.weight[0]) @ self.weight[1]


@pytest.mark.parametrize("config", [HoulsbyConfig(), ParallelAdapterConfig()])
def test_experts_of_the_block_itself_are_an_ffn_beside_another(config: PeftConfig) -> None:
    with pytest.raises(ValueError, match=r"mlp\\.2 and experts .*side by side"):
        get_peft_model(Blocks(ExpertsBeside(), ExpertsBeside()), config)
