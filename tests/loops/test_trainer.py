"""transformers' `Trainer`: it keeps the best adapter, saves adapters only, and resumes from such a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from adapter_files import assert_holds_adapters_only
from equations import METHODS
from peft import PeftModel, get_peft_model
from tiny_models import tiny_model
from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments

ROWS = [{"input_ids": torch.full((6,), 7 + 50 * (row % 2)), "labels": row % 2} for row in range(16)]


def trainer(method: str, folder: Path, **options: Any) -> Trainer:
    torch.manual_seed(0)
    model = get_peft_model(
        tiny_model("bert", AutoModelForSequenceClassification), METHODS[method](task_type="SEQ_CLS")
    )
    arguments = TrainingArguments(
        output_dir=str(folder),
        learning_rate=5e-3,
        per_device_train_batch_size=8,
        max_steps=6,
        eval_strategy="steps",
        eval_steps=2,
        save_steps=2,
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        **options,
    )
    return Trainer(model=model, args=arguments, train_dataset=ROWS, eval_dataset=ROWS)


def trained(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("method", METHODS)
def test_best_adapter_resume_and_reload(method: str, tmp_path: Path) -> None:
    # The highest loss counts as best, so that the best adapter is not the last one.
    whole = trainer(method, tmp_path / "whole", load_best_model_at_end=True, greater_is_better=True)
    whole.train()
    evaluations = {entry["step"]: entry["eval_loss"] for entry in whole.state.log_history if "eval_loss" in entry}
    best = max(evaluations, key=lambda step: evaluations[step])
    assert best < 6
    assert whole.state.best_model_checkpoint.endswith(f"checkpoint-{best}")
    assert whole.evaluate()["eval_loss"] == pytest.approx(evaluations[best], abs=1e-6)
    for checkpoint in (tmp_path / "whole").glob("checkpoint-*"):
        assert_holds_adapters_only(checkpoint, whole.model)

    last = trainer(method, tmp_path / "whole")
    last.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    uninterrupted = trainer(method, tmp_path / "uninterrupted")
    uninterrupted.train()
    for name, parameter in trained(uninterrupted.model).items():
        torch.testing.assert_close(trained(last.model)[name], parameter, msg=name)

    reloaded = PeftModel.from_pretrained(
        tiny_model("bert", AutoModelForSequenceClassification), whole.state.best_model_checkpoint
    ).eval()
    inputs = torch.stack([row["input_ids"] for row in ROWS])
    labels = torch.tensor([row["labels"] for row in ROWS])
    assert reloaded(input_ids=inputs, labels=labels).loss.item() == pytest.approx(evaluations[best], abs=1e-5)
