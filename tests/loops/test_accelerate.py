"""A loop of one's own with Accelerate: prepare, accumulate, clip, save the state, resume, save the adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from adapter_files import assert_holds_adapters_only
from equations import METHODS
from peft import PeftModel, get_peft_model
from tiny_models import VOCABULARY, tiny_model
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM

TOKENS = torch.randint(3, VOCABULARY, (16, 8), generator=torch.Generator().manual_seed(0))


def prepared(method: str) -> tuple[Accelerator, Any, Any, Any]:
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = get_peft_model(tiny_model("llama", AutoModelForCausalLM), METHODS[method](task_type="CAUSAL_LM"))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    return accelerator, *accelerator.prepare(model, optimizer, DataLoader(TOKENS, batch_size=4))


def train(accelerator: Accelerator, model: Any, optimizer: Any, batches: Any) -> list[float]:
    losses = []
    for tokens in batches:
        with accelerator.accumulate(model):
            loss = model(input_ids=tokens, labels=tokens).loss
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("method", METHODS)
def test_own_loop(method: str, tmp_path: Path) -> None:
    accelerator, model, optimizer, batches = prepared(method)
    first = train(accelerator, model, optimizer, batches)
    accelerator.save_state(str(tmp_path / "state"))
    second = train(accelerator, model, optimizer, batches)
    assert sum(second) < sum(first)
    accelerator.unwrap_model(model).save_pretrained(tmp_path / "adapter", save_function=accelerator.save)
    assert_holds_adapters_only(tmp_path / "adapter", model)

    again, resumed, optimizer, batches = prepared(method)
    again.load_state(str(tmp_path / "state"))
    assert train(again, resumed, optimizer, batches) == pytest.approx(second, abs=1e-6)

    reloaded = PeftModel.from_pretrained(tiny_model("llama", AutoModelForCausalLM), tmp_path / "adapter").eval()
    assert torch.equal(reloaded(TOKENS).logits, model.eval()(TOKENS).logits)
