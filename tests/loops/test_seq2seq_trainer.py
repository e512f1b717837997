"""transformers' `Seq2SeqTrainer` with generation in its evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adapter_files import assert_holds_adapters_only
from equations import METHODS
from peft import PeftModel, get_peft_model
from tiny_models import tiny_model
from transformers import AutoModelForSeq2SeqLM, Seq2SeqTrainer, Seq2SeqTrainingArguments

# "7 7 7" is translated to "17 17", "57 57 57" to "67 67".
ROWS = [{"input_ids": [7 + 50 * (row % 2)] * 3, "labels": [17 + 50 * (row % 2)] * 2} for row in range(8)]


def share_of_exact_outputs(prediction: Any) -> dict[str, float]:
    generated, labels = prediction.predictions[:, 1:3], prediction.label_ids[:, :2]  # no start token, no padding
    return {"exact": float(np.mean((generated == labels).all(axis=1)))}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model_type", ["t5", "bart"])
def test_evaluates_by_generation(model_type: str, method: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    base = tiny_model(model_type, AutoModelForSeq2SeqLM)
    model = get_peft_model(base, METHODS[method](task_type="SEQ_2_SEQ_LM", reduction_factor=1))
    arguments = Seq2SeqTrainingArguments(
        output_dir=str(tmp_path),
        predict_with_generate=True,
        generation_max_length=4,
        generation_num_beams=2,
        learning_rate=2e-2,
        per_device_train_batch_size=8,
        max_steps=40,
        save_steps=40,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = Seq2SeqTrainer(
        model=model, args=arguments, train_dataset=ROWS, eval_dataset=ROWS, compute_metrics=share_of_exact_outputs
    )
    assert trainer.evaluate()["eval_exact"] == 0.0
    trainer.train()
    assert trainer.evaluate()["eval_exact"] == 1.0
    assert_holds_adapters_only(tmp_path / "checkpoint-40", model)

    reloaded = PeftModel.from_pretrained(tiny_model(model_type, AutoModelForSeq2SeqLM), tmp_path / "checkpoint-40")
    inputs = torch.tensor([row["input_ids"] for row in ROWS])
    expected = trainer.predict(ROWS, max_length=4, num_beams=2).predictions[:, :4]
    assert reloaded.eval().generate(input_ids=inputs, max_length=4, num_beams=2).tolist() == expected.tolist()
