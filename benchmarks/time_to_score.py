"""Seconds of training until a validation accuracy is reached: this harness, and the usual tutorial loop.

    python benchmarks/time_to_score.py TARGET [KEY=VALUE …]

The loop is the one of transformers' course: every text padded to 128 tokens, batches of 16 in random order, all
parameters trained by AdamW at 5e-5 with a linear schedule over three epochs. The harness trains Houlsby adapters with
its defaults. Both evaluate on the same validation examples after every 160 training examples; evaluations do not
count. Keys are those of `sst2_files.yaml`; `limits` holds for both.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from course import the_run, write
from torch.utils.data import DataLoader
from transformers import AutoModelForSequenceClassification, TrainerCallback, get_scheduler

from peft_bottleneck.bench.training.run import make_trainer
from peft_bottleneck.bench.training.training import PREFIX, train

LENGTH, BATCH, EPOCHS, RATE = 128, 16, 3, 5e-5
EVERY = 160  # training examples between two evaluations
Curve = list[tuple[int, float, float]]  # examples seen, seconds of training, accuracy on validation


class StopAtTarget(TrainerCallback):  # type: ignore[misc]
    """Keeps the curve, and ends the training when the target is reached."""

    def __init__(self, target: float, metric: str, batch: int) -> None:
        self.target = target
        self.metric = metric
        self.batch = batch
        self.curve: Curve = []
        self.trainer: Any = None

    def on_evaluate(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        score = event["metrics"][PREFIX + self.metric]
        self.curve.append((state.global_step * self.batch, self.trainer.clock.seconds, score))
        control.should_training_stop = score >= self.target


def harness(target: float, overrides: list[str]) -> tuple[Any, Curve]:
    """Trains as `peft-bottleneck run` does."""
    batch = 32
    run, features = the_run(
        [
            *overrides,
            "training.eval_strategy=steps",
            f"training.eval_steps={EVERY // batch}",
            "training.save_strategy=no",
        ]
    )
    assert run.training["per_device_train_batch_size"] == batch
    stop = StopAtTarget(target, run.metric.main, batch)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(run, features, Path(folder), on_step=lambda step, steps: None)
        trainer.keep_best.patience = None
        stop.trainer = trainer
        trainer.add_callback(stop)
        train(trainer)
    return run, stop.curve


def tutorial(target: float, run: Any) -> Curve:
    """Trains as the course does."""
    torch.manual_seed(run.seed)
    tokenizer = run.model.tokenizer
    model = AutoModelForSequenceClassification.from_pretrained(run.model.path, num_labels=2, dtype=torch.float32)
    sets = {}
    for split in ("train", "validation"):
        rows = run.data.splits[split]
        texts = [row["text"] for row in rows]
        encoded = tokenizer(texts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
        labels = torch.tensor([run.data.labels.index(row["label"]) for row in rows])
        sets[split] = [
            {**{name: values[index] for name, values in encoded.items()}, "labels": labels[index]}
            for index in range(len(texts))
        ]
    loader = DataLoader(sets["train"], batch_size=BATCH, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=EPOCHS * len(loader))
    curve: Curve = []
    seconds, seen = 0.0, 0
    for _ in range(EPOCHS):
        for batch in loader:
            start = time.perf_counter()
            model.train()
            model(**batch).loss.backward()
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            seconds += time.perf_counter() - start
            seen += len(batch["labels"])
            if seen % EVERY == 0:
                curve.append((seen, seconds, _accuracy(model, sets["validation"])))
                if curve[-1][2] >= target:
                    return curve
    return curve


@torch.inference_mode()
def _accuracy(model: Any, rows: list[dict[str, torch.Tensor]]) -> float:
    model.eval()
    right = 0
    for batch in DataLoader(rows, batch_size=64):  # type: ignore[arg-type]
        longest = int(batch["attention_mask"].sum(1).max())  # does not count, and need not be slow
        labels = batch.pop("labels")
        right += int(
            (model(**{name: part[:, :longest] for name, part in batch.items()}).logits.argmax(1) == labels).sum()
        )
    return right / len(rows)


def seconds_to(target: float, curve: Curve) -> dict[str, float] | None:
    """Seconds to the target, in all and after the first evaluation; None where it was not reached.

    Before that the libraries load what they need, and only the side that comes first waits for it.
    """
    for _, seconds, score in curve:
        if score >= target:
            return {"all": seconds, "after_first_evaluation": seconds - curve[0][1]}
    return None


def main(target: float, overrides: list[str]) -> None:
    run, ours = harness(target, overrides)
    curves = {"harness": ours, "tutorial": tutorial(target, run)}
    write(
        "time_to_score",
        target=target,
        method=run.method.label,
        validation_examples=run.data.counts["validation"],
        train_examples=run.data.counts["train"],
        curves=curves,
        seconds={name: seconds_to(target, curve) for name, curve in curves.items()},
    )


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
