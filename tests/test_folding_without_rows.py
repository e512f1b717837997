"""Folding in models without a row: the width is searched for, and what could not be loaded again is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from equations import output, randomise
from peft import get_peft_model
from tiny_models import CONFIGURATIONS
from transformers import AutoConfig, AutoModel

from peft_bottleneck import ParallelAdapterConfig

pytestmark = pytest.mark.filterwarnings("ignore:No sites are known:UserWarning")

SHARED: dict[str, tuple[dict[str, Any], str]] = {  # one number of the configuration is the width of more than the FFNs
    "siglip_vision_model": (dict(image_size=16, patch_size=4), r"head\.mlp\.fc1\.weight of shape \(68, 32\)"),
    "wav2vec2-bert": (dict(feature_projection_input_dim=16), r"layers\.0\.ffn1\.intermediate_dense\.weight"),
    "mobilebert": (dict(embedding_size=16, true_hidden_size=16, intra_bottleneck_size=16), r"layer\.0\.ffn\.0\."),
}
SIZES: dict[str, Any] = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
WITHOUT_ROW: dict[str, dict[str, Any]] = {  # their configurations call the width by different names
    "biogpt": SIZES | dict(vocab_size=99, pad_token_id=0),
    "xglm": dict(vocab_size=99, d_model=32, ffn_dim=64, num_layers=2, attention_heads=4, pad_token_id=0),
    "fsmt": dict(langs=["en", "de"], src_vocab_size=99, tgt_vocab_size=99, d_model=32)
    | dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 64)
    | dict.fromkeys(("encoder_layers", "decoder_layers"), 2)
    | dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    "nemotron": SIZES | dict(vocab_size=99, num_key_value_heads=2, pad_token_id=0),
}


def assert_close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def without_row(model_type: str, sizes: dict[str, Any]) -> tuple[Any, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(model_type, **sizes)).eval()
    if model_type == "wav2vec2-bert":
        return model, {"input_features": torch.randn(2, 12, 16)}
    if model_type == "siglip_vision_model":
        return model, {"pixel_values": torch.randn(2, 3, 16, 16)}
    ids = torch.randint(3, 90, (2, 7))
    return model, {"input_ids": ids} | ({"decoder_input_ids": ids[:, :5]} if model_type == "fsmt" else {})


@pytest.mark.parametrize("model_type", WITHOUT_ROW)
def test_without_a_row_the_width_is_searched_for(model_type: str) -> None:
    model, inputs = without_row(model_type, WITHOUT_ROW[model_type])
    adapted = randomise(get_peft_model(model, ParallelAdapterConfig(foldable=True, bottleneck_size=4))).eval()
    expected = output(adapted, inputs)
    folded = adapted.merge_and_unload()
    assert_close(output(folded, inputs), expected)
    twin = type(folded)(folded.config)
    twin.load_state_dict(folded.state_dict())
    # Frozen: torch multiplies strided inputs in another order where a weight is trained.
    assert torch.equal(output(twin.eval().requires_grad_(False), inputs), output(folded, inputs))


@pytest.mark.parametrize("model_type", SHARED)
def test_a_number_that_others_share_is_no_place_for_the_width(model_type: str) -> None:
    sizes, message = SHARED[model_type]
    model, inputs = without_row(model_type, SIZES | sizes)
    adapted = randomise(get_peft_model(model, ParallelAdapterConfig(foldable=True, bottleneck_size=4))).eval()
    expected = output(adapted, inputs)
    with pytest.raises(ValueError, match=f"cannot be folded for good: .* built with intermediate_size=68.*{message}"):
        adapted.merge_and_unload()
    assert torch.equal(output(adapted, inputs), expected)
    adapted.merge_adapter()
    assert_close(output(adapted, inputs), expected)


def test_what_is_no_sum_over_neurons_is_refused() -> None:
    decoder = SIZES | dict(vocab_size=99, num_key_value_heads=2, pad_token_id=0)
    model, _ = without_row("bitnet", decoder)
    with pytest.raises(ValueError, match=r"foldable=True: the FFN of layers\.0 has trained weights between its maps"):
        get_peft_model(model, ParallelAdapterConfig(foldable=True))
    model, _ = without_row("ibert", SIZES | dict(vocab_size=99))
    with pytest.raises(ValueError, match="are no plain linear maps but QuantLinear"):
        get_peft_model(model, ParallelAdapterConfig(foldable=True))
    model, _ = without_row("nemotron", decoder)
    for block in model.layers:
        block.mlp.act_fn = torch.nn.Softmax(dim=-1)  # of all neurons together
    with pytest.raises(ValueError, match=r"the FFN of layers\.0 does not compute φ\(h\) of each neuron"):
        get_peft_model(model, ParallelAdapterConfig(foldable=True))


def test_the_language_part_folds_where_the_rest_is_left_out() -> None:
    vision = dict(model_type="clip_vision_model", hidden_size=16, intermediate_size=32, num_hidden_layers=2)
    vision |= dict(num_attention_heads=2, projection_dim=16, image_size=16, patch_size=4)
    text = CONFIGURATIONS["llama"] | {"model_type": "llama", "head_dim": 8}
    sizes = dict(
        text_config=text, vision_config=vision, vision_feature_layer=-1, image_token_index=98, image_token_id=98
    )
    model, _ = without_row("llava", sizes)
    inputs = {
        "input_ids": torch.cat([torch.full((2, 16), 98), torch.randint(3, 90, (2, 5))], dim=1),
        "pixel_values": torch.randn(2, 3, 16, 16),
    }
    with pytest.raises(ValueError, match="FFNs of 2 kinds .*exclude_modules leaves modules out"):
        get_peft_model(model, ParallelAdapterConfig(foldable=True))
    config = ParallelAdapterConfig(foldable=True, bottleneck_size=4, exclude_modules=r".*vision_tower\..*")
    adapted = randomise(get_peft_model(model, config)).eval()
    expected = output(adapted, inputs)
    folded = adapted.merge_and_unload()
    assert_close(output(folded, inputs), expected)
    assert (folded.config.text_config.intermediate_size, folded.config.vision_config.intermediate_size) == (68, 32)
