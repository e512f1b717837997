"""transformers' `Trainer` on quantised bases: the two failures that peft#2657 reported of an earlier port.

Training on 8 and 4 bits would not start, since `Trainer` did not know the adapters as PEFT's, and checkpoints held the
whole model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from adapter_files import assert_holds_adapters_only
from bases import METHODS, QUANTIZATIONS, adapted, batch
from transformers import Trainer, TrainingArguments

pytestmark = pytest.mark.filterwarnings("ignore:MatMul8bitLt. inputs will be cast:UserWarning")


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("base", [pytest.param("minilm", marks=pytest.mark.slow), "llama"])
def test_starts_saves_adapters_only_and_restores_the_best(
    base: str, method: str, quantization: str, tmp_path: Path
) -> None:
    columns = batch(base)
    rows: Any = [{name: column[row] for name, column in columns.items()} for row in range(4)]
    model = adapted(base, quantization, method)
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        learning_rate=2e-3,
        per_device_train_batch_size=4,
        max_steps=3,
        eval_strategy="steps",
        eval_steps=1,
        save_steps=1,
        load_best_model_at_end=True,
        greater_is_better=True,  # of the loss, so that the best adapter is not the last one
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, eval_dataset=rows)
    trainer.train()
    evaluations = {entry["step"]: entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry}
    best = max(evaluations, key=lambda step: evaluations[step])
    assert len(set(evaluations.values())) == 3
    assert trainer.evaluate()["eval_loss"] == pytest.approx(evaluations[best], abs=1e-6)
    for step in evaluations:
        assert_holds_adapters_only(tmp_path / f"checkpoint-{step}", model)
    assert all(p.dtype is torch.float32 for p in model.parameters() if p.requires_grad)
