"""Sites are read off a call: names and the order of registration may mislead, and what no call confirms is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from equations import METHODS, layers, output, randomise
from peft import get_peft_model
from tiny_models import tiny_inputs, tiny_model
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig
from peft_bottleneck.sites.skeleton import ShapesOnly, skeleton
from peft_bottleneck.sites.structure import family_from_structure, find_family

pytestmark = pytest.mark.filterwarnings("ignore:No sites are known:UserWarning")

SPEECH: dict[str, Any] = dict(
    hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_conv_pos_embeddings=4
)
CONFORMERS: dict[str, dict[str, Any]] = {
    "wav2vec2-bert": SPEECH | dict(feature_projection_input_dim=16, output_hidden_size=32),
    "wav2vec2-conformer": SPEECH
    | dict(conv_dim=[16, 16], conv_stride=[2, 2], conv_kernel=[3, 3], num_conv_pos_embedding_groups=2),
}
DECODER: dict[str, Any] = dict(
    vocab_size=99, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, pad_token_id=0
)
TEXT: dict[str, dict[str, Any]] = {
    "phimoe": DECODER | dict(num_key_value_heads=2, num_local_experts=4, bos_token_id=1, eos_token_id=2),
    "ibert": DECODER | dict(max_position_embeddings=64),
    "openai-gpt": dict(vocab_size=99, n_embd=32, n_layer=2, n_head=4, n_positions=64),
    "mobilebert": DECODER | dict(embedding_size=16, intra_bottleneck_size=16, true_hidden_size=16),
}


def build(model_type: str, seed: int = 0) -> tuple[Any, dict[str, Tensor]]:
    torch.manual_seed(seed)
    model = AutoModel.from_config(AutoConfig.for_model(model_type, **(CONFORMERS | TEXT)[model_type])).eval()
    if model_type == "wav2vec2-bert":
        return model, {"input_features": torch.randn(2, 12, 16)}
    if model_type == "wav2vec2-conformer":
        return model, {"input_values": torch.randn(2, 200)}
    return model, {"input_ids": torch.randint(3, 99, (2, 8))}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model_type", [*CONFORMERS, *TEXT])
def test_every_adapter_takes_part(model_type: str, method: str) -> None:
    model, inputs = build(model_type)
    plain = output(model.requires_grad_(False), inputs)
    adapted = get_peft_model(model, METHODS[method](reduction_factor=4)).eval()
    assert len(layers(adapted)) == (4 if method == "houlsby" else 2)
    assert torch.equal(output(adapted, inputs), plain)
    randomise(adapted)
    adapted(**inputs)[0].square().mean().backward()
    for name, parameter in adapted.named_parameters():
        if parameter.requires_grad and not name.endswith("bias"):
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name


@pytest.mark.parametrize("model_type", CONFORMERS)
def test_of_two_ffns_the_last_is_read_and_written(model_type: str) -> None:
    row = family_from_structure(build(model_type)[0])
    assert (row.attention_output, row.ffn) == (r"self_attn\.linear_out", "ffn2")
    model, inputs = build(model_type)
    ffn = model.encoder.layers[0].ffn2
    adapted = randomise(get_peft_model(model, ParallelAdapterConfig(bottleneck_size=4))).eval()
    layer = model.encoder.layers[0].ffn2
    seen: list[tuple[Tensor, Tensor]] = []
    layer.register_forward_hook(lambda module, args, result: seen.append((args[0], result)))
    output(adapted, inputs)
    (x, y), parts = seen[0], layer.parts("default")
    torch.testing.assert_close(y, ffn(x) + 4 * parts["up"](torch.relu(parts["down"](x))))


def test_a_norm_with_a_second_argument() -> None:
    """I-BERT's norm takes and gives a scale beside the tensor: `LN(u + B(LN(u)))` all the same."""
    model, inputs = build("ibert")
    norm = model.encoder.layer[0].output.LayerNorm
    adapted = randomise(get_peft_model(model, PfeifferConfig(bottleneck_size=4))).eval()
    layer = model.encoder.layer[0].output.LayerNorm
    seen: list[tuple[Any, Tensor]] = []
    layer.register_forward_hook(lambda module, args, result: seen.append((args, result[0])))
    output(adapted, inputs)
    ((u, scale), y), parts = seen[0], layer.parts("default")
    delta = parts["up"](torch.relu(parts["down"](norm(u, scale)[0])))
    torch.testing.assert_close(y, norm(u + delta, scale)[0])


def mllama() -> Any:
    text = dict(num_hidden_layers=4, cross_attention_layers=[1], hidden_size=64, intermediate_size=96)
    vision = dict(num_hidden_layers=2, num_global_layers=1, hidden_size=64, intermediate_size=96, attention_heads=4)
    config = AutoConfig.for_model(
        "mllama",
        text_config=text | dict(num_attention_heads=4, num_key_value_heads=2, vocab_size=99, pad_token_id=0),
        vision_config=vision | dict(image_size=28, intermediate_layers_indices=[0], vision_output_dim=128),
    )
    with torch.device("meta"):
        return AutoModel.from_config(config)


def test_all_towers_are_adapted() -> None:
    adapted = get_peft_model(mllama(), HoulsbyConfig())
    names = [name for name, module in adapted.named_modules() if module in layers(adapted)]
    towers = {"language_model.layers": 8, "transformer.layers": 4, "global_transformer.layers": 2}
    assert {tower: sum(f".{tower}." in name for name in names) for tower in towers} == towers
    assert sum(name.endswith("cross_attn.o_proj") for name in names) == 1


def test_the_blocks_that_an_index_means_are_named() -> None:
    lists = "language_model.layers, vision_model.global_transformer.layers, vision_model.transformer.layers"
    with pytest.warns(UserWarning, match=rf"layers_to_transform=\[0\] means these blocks of each of {lists}"):
        get_peft_model(mllama(), HoulsbyConfig(layers_to_transform=[0]))
    with pytest.warns(UserWarning, match=r"text_model\.encoder\.layers, vision_model\.encoder\.layers"):
        get_peft_model(tiny_model("clip"), HoulsbyConfig(layers_to_transform=[0]))
    one = HoulsbyConfig(layers_to_transform=[0], layers_pattern=r"text_model\.encoder\.layers")
    assert len(layers(get_peft_model(tiny_model("clip"), one))) == 2


def test_a_tower_can_be_left_out() -> None:
    adapted = get_peft_model(mllama(), HoulsbyConfig(exclude_modules=r"vision_model\..*"))
    assert len(layers(adapted)) == 8
    assert find_family(mllama(), r"vision_model\..*").block == r"language_model\.layers\.\d+"


class Misleading(nn.Module):
    """A block whose maps are registered in another order than they are called in, under names that say little."""

    def __init__(self, called: bool = True) -> None:
        super().__init__()
        self.proj_z = nn.Linear(48, 16)
        self.proj_a = nn.Linear(16, 48)
        self.attn = nn.ModuleDict({"last": nn.Linear(16, 16), "first": nn.Linear(16, 16), "idle": nn.Linear(16, 16)})
        self.norm_b, self.norm_a = nn.LayerNorm(16), nn.LayerNorm(16)
        self.router = nn.Linear(16, 2)
        self.called = called

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn["last"](torch.tanh(self.attn["first"](self.norm_a(x)))) if self.called else x
        return x + self.proj_z(torch.relu(self.proj_a(self.norm_b(x)))) * self.router(x).softmax(-1)[..., :1]


class Blocks(nn.Module):
    def __init__(self, called: bool = True) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Misleading(called), Misleading(called)])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def test_the_order_of_calls_counts() -> None:
    row = family_from_structure(Blocks())
    assert (row.attention_output, row.ffn_input, row.ffn_output, row.ffn_norm, row.residual) == (
        r"attn\.last",
        ("proj_a",),
        "proj_z",
        None,
        ("norm_b",),
    )


@pytest.mark.parametrize("gated", [False, True])
def test_a_gate_that_is_called_attention_is_none(gated: bool) -> None:
    """PatchTSMixer's "gated attention" is `x * softmax(W x)`: a factor, and no term of the residual stream."""
    sizes: dict[str, Any] = dict(context_length=32, patch_length=4, d_model=16, num_layers=2, num_input_channels=2)
    sizes |= dict(self_attn_heads=2, gated_attn=gated)
    row = family_from_structure(AutoModel.from_config(AutoConfig.for_model("patchtsmixer", **sizes, self_attn=True)))
    assert (row.attention_output, row.ffn) == (r"patch_mixer\.self_attn_layer\.out_proj", r"feature_mixer\.mlp")
    with pytest.raises(ValueError, match="has no (list of blocks with an )?attention"):
        family_from_structure(AutoModel.from_config(AutoConfig.for_model("patchtsmixer", **sizes, self_attn=False)))


def test_what_no_call_confirms_is_refused() -> None:
    with pytest.raises(ValueError, match=r"blocks\.0 has no attention that its output depends on.*`target_modules`"):
        get_peft_model(Blocks(called=False), HoulsbyConfig())
    demanding = Blocks()
    demanding.blocks[1].forward = lambda x, y: x * y
    with pytest.raises(ValueError, match=r"blocks\.1 cannot be called with guessed inputs \(TypeError: unsupported"):
        family_from_structure(demanding)


def test_a_known_family_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peft_bottleneck.sites.structure.observe", None)
    assert len(layers(get_peft_model(tiny_model("bert"), HoulsbyConfig()))) == 4


def test_the_call_leaves_no_trace() -> None:
    model, _ = build("wav2vec2-bert")
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    family_from_structure(model)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), drawn)
    assert model.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Quantised(nn.Module):
    """A linear map whose weight has neither the shape nor the type that it computes with."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.register_buffer("packed", torch.zeros(linear.weight.numel() // 2, dtype=torch.uint8))


def test_quantised_maps_count_as_maps() -> None:
    model, _ = build("openai-gpt")
    model = AutoModel.from_config(AutoConfig.for_model("nemotron", **DECODER, num_key_value_heads=2))
    expected = family_from_structure(model)
    for block in model.layers:
        block.mlp.down_proj = Quantised(block.mlp.down_proj)
        block.self_attn.o_proj = Quantised(block.self_attn.o_proj)
    assert family_from_structure(model) == expected


def test_a_skeleton_computes_the_shapes_of_the_model() -> None:
    for model_type in ("bert", "t5", "mixtral"):
        model, inputs = tiny_model(model_type), tiny_inputs(model_type)
        twin = skeleton(model)
        with torch.no_grad(), ShapesOnly():
            result = twin(**inputs)[0]
        assert result.is_meta
        assert result.shape == output(model, inputs).shape


ENCODER: dict[str, Any] = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4)
HALVES: dict[str, Any] = dict(d_model=64, encoder_layers=2, decoder_layers=2) | {
    f"{half}_{name}": size
    for half in ("encoder", "decoder")
    for name, size in (("attention_heads", 4), ("ffn_dim", 128))
}
STARTS: dict[str, dict[str, Any]] = {
    "siglip_vision_model": ENCODER | dict(image_size=64),
    "aimv2_vision_model": ENCODER | dict(image_size=64),
    "longformer": ENCODER | dict(vocab_size=99, attention_window=8, pad_token_id=0),
    "led": HALVES
    | dict(vocab_size=99, attention_window=8)
    | dict(max_encoder_position_embeddings=64, max_decoder_position_embeddings=64),
    "fsmt": HALVES | dict(langs=["en", "de"], src_vocab_size=99, tgt_vocab_size=99),
    "wavlm": ENCODER
    | dict(conv_dim=[16, 16], conv_stride=[2, 2], conv_kernel=[3, 3])
    | dict(num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2),
}


@pytest.mark.parametrize("model_type", STARTS)
@pytest.mark.parametrize("method", METHODS)
def test_the_start_equals_the_frozen_base(method: str, model_type: str) -> None:
    """Three inputs: torch multiplies strided values in another order where the weights are trained."""
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(model_type, **STARTS[model_type])).eval()
    ids = torch.randint(3, 99, (3, 17))
    inputs = {
        **({"pixel_values": torch.randn(3, 3, 64, 64)} if "vision" in model_type else {}),
        **({"input_values": torch.randn(3, 419)} if model_type == "wavlm" else {}),
        **({"input_ids": ids} if model_type in ("longformer", "led", "fsmt") else {}),
        **({"decoder_input_ids": ids} if model_type in ("led", "fsmt") else {}),
    }
    plain = output(model.requires_grad_(False), inputs)
    assert torch.equal(output(get_peft_model(model, METHODS[method]()).eval(), inputs), plain)
