"""Token embeddings beside an adapter: trained, saved, loaded and tied as with LoRA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from equations import METHODS, output
from peft import PeftModel, get_peft_model
from tiny_models import tiny_inputs, tiny_model
from transformers import AutoModelForCausalLM

INPUTS = tiny_inputs("llama")
TOKENS = INPUTS["input_ids"][0].unique()[:3].tolist()
pytestmark = pytest.mark.parametrize("method", METHODS)


def base(*, tied: bool) -> Any:
    return tiny_model("llama", AutoModelForCausalLM, tie_word_embeddings=tied)


def train(model: Any) -> None:
    model.train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(**INPUTS, labels=INPUTS["input_ids"]).loss.backward()
        optimizer.step()
    model.eval()


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("indices", [TOKENS, {"embed_tokens": TOKENS[:2]}])
def test_trainable_token_indices(method: str, indices: Any, tied: bool, tmp_path: Path) -> None:
    model = get_peft_model(base(tied=tied), METHODS[method](trainable_token_indices=indices))
    assert any("trainable_tokens_delta" in name for name, p in model.named_parameters() if p.requires_grad)
    before = base(tied=tied).model.embed_tokens.weight
    train(model)
    rows = model.get_input_embeddings()(torch.arange(len(before)))
    trained = sorted(indices["embed_tokens"] if isinstance(indices, dict) else indices)
    assert (rows != before).any(1).nonzero().flatten().tolist() == trained
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(base(tied=tied), tmp_path).eval()
    assert torch.equal(output(loaded, INPUTS), output(model, INPUTS))


@pytest.mark.parametrize("to_save", [["embed_tokens"], ["lm_head"], ["embed_tokens", "lm_head"]])
def test_ensure_weight_tying(method: str, to_save: list[str], tmp_path: Path) -> None:
    config = METHODS[method](modules_to_save=to_save, ensure_weight_tying=True)
    model = get_peft_model(base(tied=True), config)
    train(model)
    assert torch.equal(model.get_input_embeddings().weight, model.get_output_embeddings().weight)
    assert not torch.equal(model.get_input_embeddings().weight, base(tied=True).get_input_embeddings().weight)
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(base(tied=True), tmp_path).eval()
    assert torch.equal(output(loaded, INPUTS), output(model, INPUTS))
