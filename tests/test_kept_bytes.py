"""What a block keeps of a forward pass for the backward pass, in bytes for every token and hidden channel."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from equations import METHODS
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel

ROOT = Path(__file__).parents[1]
ROWS, TOKENS, HIDDEN = 2, 64, 256
SHAPE: dict[str, Any] = dict(hidden_size=HIDDEN, intermediate_size=4 * HIDDEN, num_attention_heads=4, vocab_size=50)


def llama(blocks: int) -> Any:
    return LlamaModel(LlamaConfig(**SHAPE, num_hidden_layers=blocks, num_key_value_heads=1, use_cache=False))


def bert(blocks: int) -> Any:
    config = BertConfig(**SHAPE, num_hidden_layers=blocks, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return BertModel(config, add_pooling_layer=False)


# Bounds, half a byte above what was counted: a tensor of the hidden size in bfloat16 is two bytes.
BOUNDS = {
    (llama, "base"): 37.6,
    (llama, "houlsby"): 42.1,
    (llama, "pfeiffer"): 39.7,
    (llama, "parallel_adapter"): 39.7,
    (bert, "base"): 20.6,
    (bert, "houlsby"): 25.1,
    (bert, "pfeiffer"): 24.7,
    (bert, "parallel_adapter"): 22.7,
}
PROJECTIONS = {llama: ["o_proj", "down_proj"], bert: ["output.dense"]}


def kept_bytes(model: torch.nn.Module) -> int:
    """The bytes of all storages that a forward pass keeps, but those of the model itself."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    embedded = torch.randn(ROWS, TOKENS, HIDDEN, dtype=torch.bfloat16).requires_grad_(True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = model.train()(inputs_embeds=embedded)
    assert result[0].requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def per_block(make: Any, config: Any) -> float:
    def of(blocks: int) -> int:
        model = make(blocks).bfloat16().requires_grad_(False)
        if config is not None:
            model = get_peft_model(model, copy.deepcopy(config), autocast_adapter_dtype=False)
        return kept_bytes(model)

    return (of(3) - of(2)) / (ROWS * TOKENS * HIDDEN)


@pytest.mark.parametrize(("make", "method"), BOUNDS)
def test_a_block_keeps_no_more_than_its_bound(make: Any, method: str) -> None:
    config = None if method == "base" else METHODS[method](reduction_factor=16)
    assert BOUNDS[make, method] - 1 < per_block(make, config) <= BOUNDS[make, method]


@pytest.mark.parametrize("make", [llama, bert])
def test_every_method_keeps_less_than_lora_on_the_same_modules(make: Any) -> None:
    lora = per_block(make, LoraConfig(target_modules=PROJECTIONS[make], r=HIDDEN // 16))
    assert all(bound < lora for (family, _), bound in BOUNDS.items() if family is make)


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable. is deprecated:FutureWarning")
@pytest.mark.parametrize(
    ("base", "checkpointing"),
    [
        ("bfloat16", False),
        ("4bit", True),
        pytest.param("bfloat16", True, marks=pytest.mark.slow),
        pytest.param("4bit", False, marks=pytest.mark.slow),
    ],
)
def test_the_predicted_peak_is_what_a_gpu_measured(
    base: str, checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    for name in ("predicted_memory", "small_gpus", "sharing"):
        sys.modules.pop(name, None)
    import predicted_memory

    (record,) = (json.loads(path.read_text()) for path in (ROOT / "benchmarks/speed").glob("small_gpus*.json"))
    (measured,) = (
        entry["held_bytes"] + entry["added_bytes"]
        for entry in record["entries"]
        if (entry["base"], entry["checkpointing"], entry["method"]) == (base, checkpointing, "houlsby")
    )
    shape = predicted_memory.SHAPE
    batch = tuple(record["batch"])
    options = {"base": base, "float32_around": base != "bfloat16"}  # the record's runs used PEFT's preparation
    predicted = predicted_memory.peak_bytes(shape, "houlsby", batch, checkpointing, False, **options)
    assert predicted == pytest.approx(measured, rel=0.03)
