"""bfloat16 and float16: of the base, by autocast, and in transformers' `Trainer`, which refuses both on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from adapter_files import assert_holds_adapters_only
from equations import METHODS, loss, on_gpu, output, randomise
from peft import get_peft_model
from tiny_models import tiny_inputs, tiny_model
from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
ROWS = [{"input_ids": torch.full((6,), 7 + 50 * (row % 2)), "labels": row % 2} for row in range(16)]


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("method", METHODS)
def test_trains_under_trainers_autocast(method: str, half: str, tmp_path: Path) -> None:
    """The adapters stay in float32, a float16 training scales its loss, and checkpoints hold adapters only."""
    torch.manual_seed(0)
    model = get_peft_model(
        tiny_model("bert", AutoModelForSequenceClassification), METHODS[method](task_type="SEQ_CLS")
    )
    options: dict[str, Any] = {half: True}
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        learning_rate=5e-3,
        per_device_train_batch_size=16,
        max_steps=30,
        save_steps=30,
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        **options,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=ROWS, eval_dataset=ROWS)
    seen: set[torch.dtype] = set()
    down = next(module for name, module in model.named_modules() if name.endswith(f"{method}_down.default"))
    down.register_forward_hook(lambda module, args, result: seen.add(result.dtype))
    trainer.train()
    assert seen == {HALVES[half]}
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < 0.6 * losses[0]
    assert all(p.is_cuda and p.dtype is torch.float32 for p in model.parameters())
    assert_holds_adapters_only(tmp_path / "checkpoint-30", model)


@pytest.mark.parametrize("own_type", [False, True], ids=["float32 adapters", "adapters as the base"])
@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model_type", ["bert", "llama", "opt"])
def test_on_a_base_in_half_precision(model_type: str, method: str, half: str, own_type: bool) -> None:
    dtype, inputs = HALVES[half], on_gpu(tiny_inputs(model_type))
    whole = randomise(get_peft_model(tiny_model(model_type).cuda(), METHODS[method]())).eval()
    model = get_peft_model(
        tiny_model(model_type).cuda().to(dtype), METHODS[method](), autocast_adapter_dtype=not own_type
    )
    trained = [parameter for parameter in randomise(model.eval()).parameters() if parameter.requires_grad]
    assert {parameter.dtype for parameter in trained} == {dtype if own_type else torch.float32}
    found, expected = output(model, inputs), output(whole, inputs)
    assert found.dtype is dtype
    # Half a percent for each of bfloat16's eight bits, an eighth of it for float16, through two blocks.
    error = (found.float() - expected).norm() / expected.norm()
    assert error < (0.05 if half == "bf16" else 0.01)
    loss(model(**inputs)[0]).backward()
    assert all(bool(p.grad.isfinite().all()) and bool(p.grad.any()) for p in trained if p.grad is not None)
    assert all(parameter.grad is not None for parameter in trained)


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("method", METHODS)
def test_autocast_of_a_float32_model(method: str, half: str) -> None:
    inputs = on_gpu(tiny_inputs("bert"))
    model = randomise(get_peft_model(tiny_model("bert").cuda(), METHODS[method]())).eval()
    expected = output(model, inputs)
    with torch.autocast("cuda", dtype=HALVES[half]):
        found = output(model, inputs)
    assert not torch.equal(found, expected)
    assert (found.float() - expected).norm() / expected.norm() < (0.05 if half == "bf16" else 0.01)
    assert torch.equal(output(model, inputs), expected)
