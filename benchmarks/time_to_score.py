"""Seconds of training until a validation accuracy is reached: this harness, and the usual tutorial loop.

    python benchmarks/time_to_score.py TARGET [KEY=VALUE …]

The loop is the one of transformers' course: every text padded to 128 tokens, batches of 16 in random order, all
parameters trained by AdamW at 5e-5 with a linear schedule over three epochs. The harness trains Houlsby adapters with
its defaults. Both evaluate on the same validation examples after every 160 training examples; evaluations do not
count. Both go to their first evaluation once before anything counts, since libraries load on first use; then they take
turns, one seed after the other. Keys are those of `sst2_files.yaml`; `limits` holds for both.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from sharing import the_run, write
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedModel,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    get_scheduler,
)

from peft_bottleneck_bench.run import Run
from peft_bottleneck_bench.training.callbacks import PREFIX
from peft_bottleneck_bench.training.execute import make_trainer
from peft_bottleneck_bench.training.features import Split
from peft_bottleneck_bench.training.trainer import RunTrainer
from peft_bottleneck_bench.training.training import train

HARNESS_BATCH = 32
LENGTH, BATCH, EPOCHS, RATE = 128, 16, 3, 5e-5  # of the tutorial
EVERY = 160  # training examples between two evaluations
SEEDS = (0, 1, 2)
Features = dict[str, Split]
Curve = list[tuple[int, float, float]]  # examples seen, seconds of training, accuracy on validation


class StopAtTarget(TrainerCallback):  # type: ignore[misc]
    """Keeps the curve, and ends the training when the target is reached."""

    def __init__(self, target: float, metric: str, batch: int) -> None:
        self.target = target
        self.metric = metric
        self.batch = batch
        self.curve: Curve = []
        self.trainer: RunTrainer | None = None

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        metrics: dict[str, float],
        **_: object,
    ) -> None:
        score = metrics[PREFIX + self.metric]
        self.curve.append((state.global_step * self.batch, self.trainer.clock.seconds, score))
        control.should_training_stop = score >= self.target


def prepared(seed: int, overrides: list[str]) -> tuple[Run, Features]:
    """The run of this seed, with the evaluations that are compared, and its features."""
    steps = EVERY // HARNESS_BATCH
    evaluations = ["training.eval_strategy=steps", f"training.eval_steps={steps}", "training.save_strategy=no"]
    run, features = the_run([*overrides, f"seeds=[{seed}]", *evaluations])
    assert run.training["per_device_train_batch_size"] == HARNESS_BATCH
    return run, features


def harness(target: float, run: Run, features: Features) -> Curve:
    """Trains as `peft-bottleneck run` does."""
    stop = StopAtTarget(target, run.metric.main, HARNESS_BATCH)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(run, features, Path(folder), on_step=lambda step, steps: None)
        trainer.keep_best.patience = None
        stop.trainer = trainer
        trainer.add_callback(stop)
        train(trainer)
    return stop.curve


def tutorial(target: float, run: Run, features: Features) -> Curve:
    """Trains as the course does; makes features of its own."""
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
def _accuracy(model: PreTrainedModel, rows: list[dict[str, torch.Tensor]]) -> float:
    model.eval()
    right = 0
    for batch in DataLoader(rows, batch_size=64):  # type: ignore[arg-type]
        longest = int(batch["attention_mask"].sum(1).max())  # does not count, and need not be slow
        labels = batch.pop("labels")
        right += int(
            (model(**{name: part[:, :longest] for name, part in batch.items()}).logits.argmax(1) == labels).sum()
        )
    return right / len(rows)


def seconds_to(target: float, curve: Curve) -> float:
    """Seconds of training until the target was reached.

    Raises:
        SystemExit: it was not.
    """
    for _, seconds, score in curve:
        if score >= target:
            return seconds
    raise SystemExit(f"A score of {target} was not reached: the best was {max(score for _, _, score in curve)}.")


def main(target: float, overrides: list[str]) -> None:
    sides = {"harness": harness, "tutorial": tutorial}
    run, features = prepared(SEEDS[0], overrides)
    for train_side in sides.values():
        train_side(0.0, run, features)
    turns = []
    for number, seed in enumerate(SEEDS):
        run, features = prepared(seed, overrides)
        names = list(sides)[:: -1 if number % 2 else 1]
        curves = {name: sides[name](target, run, features) for name in names}
        turns.append(
            {"seed": seed, "curves": curves, "seconds": {name: seconds_to(target, curves[name]) for name in sides}}
        )
    ratios = [turn["seconds"]["tutorial"] / turn["seconds"]["harness"] for turn in turns]
    write(
        "time_to_score",
        target=target,
        method=run.method.label,
        validation_examples=run.data.counts["validation"],
        train_examples=run.data.counts["train"],
        turns=turns,
        ratio={"median": median(ratios), "low": min(ratios), "high": max(ratios)},
    )


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
