"""Trains an adapter with `Trainer` under whatever launched this, and saves it: run by the tests.

worker.py METHOD FOLDER [--own-type]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from equations import METHODS
from peft import get_peft_model
from tiny_models import VOCABULARY, tiny_model
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

TOKENS = torch.randint(3, VOCABULARY, (8, 9), generator=torch.Generator().manual_seed(0))


def main(method: str, folder: str, *options: str) -> None:
    torch.manual_seed(0)
    base = tiny_model("llama", AutoModelForCausalLM)
    model = get_peft_model(
        base,
        METHODS[method](task_type="CAUSAL_LM", reduction_factor=1),
        autocast_adapter_dtype="--own-type" not in options,
    )
    rows: Any = [{"input_ids": row, "labels": row} for row in TOKENS]
    arguments = TrainingArguments(
        output_dir=folder,
        learning_rate=1e-2,
        per_device_train_batch_size=8,
        max_steps=6,
        save_steps=6,
        logging_steps=1,
        bf16=True,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=rows)
    print(f"kind of training: {trainer.accelerator.distributed_type.value}")
    trainer.train()
    trainer.save_model(str(Path(folder, "final")))
    print("losses:", *(entry["loss"] for entry in trainer.state.log_history if "loss" in entry))


if __name__ == "__main__":
    main(*sys.argv[1:])
