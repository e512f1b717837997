"""One run, from its plan to its record."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from transformers import set_seed

from . import records
from .features import Split
from .loading import WEIGHT_SUFFIXES
from .measure import PeakMemory, file_bytes, hardware
from .methods import count_parameters, make_trainable
from .plan import Run
from .saving import save_adapter
from .training import PREFIX, KeepBest, RunTrainer, Watch, train, training_arguments

PACKAGES = ("peft-bottleneck", "torch", "transformers", "peft", "accelerate", "datasets", "evaluate")
DETERMINISM = (
    "Same score for the same run, package versions and machine on a CPU with the same number of threads; "
    "elsewhere floating-point sums may be ordered differently, and the last digits with them."
)


def execute(run: Run, features: Mapping[str, Split], on_step: Callable[[int, int], None]) -> records.Record:
    """Trains and evaluates, and writes the adapter, the predictions and the record, in this order.

    Raises:
        Exception: whatever stopped the training; nothing is written then.
    """
    started = _now()
    work = run.adapter_path.with_name(f"{run.adapter_path.name}.partial")
    shutil.rmtree(work, ignore_errors=True)  # of a run that was killed
    work.mkdir(parents=True)
    try:
        record = _measure(run, features, work, on_step)
        shutil.rmtree(run.adapter_path, ignore_errors=True)
        work.rename(run.adapter_path)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    predictions = record.pop("predictions")
    predictions_path = records.predictions_path(run.record_path)
    records.write_predictions(predictions, predictions_path)
    record = {
        **_frame(run, started),
        **record,
        "status": "finished",
        "finished": _now(),
        "predictions": predictions_path.name,
    }
    records.write(record, run.record_path)
    return record


def failed(run: Run, reason: str) -> records.Record:
    """Writes and returns the record of a run that could not be finished."""
    record = {**_frame(run, _now()), "status": "failed", "reason": reason, "finished": _now()}
    records.write(record, run.record_path)
    return record


def make_trainer(
    run: Run, features: Mapping[str, Split], folder: Path, on_step: Callable[[int, int], None]
) -> tuple[RunTrainer, KeepBest]:
    """The run's model, ready to train; `folder` is for what is kept on the way."""
    set_seed(run.seed)  # the fresh head: the same for every method under this seed
    model = make_trainable(
        run.kind.load(run.setting), run.method.name, run.method.options, run.kind.task_type(run.model.config)
    )
    references = run.kind.references(run.data.splits["validation"])

    def compute_metrics(evaluated: Any) -> dict[str, float]:
        predictions = _predictions(run, features, "validation", evaluated.predictions)
        figures = run.metric.compute(references=references, predictions=predictions)
        return {PREFIX.removeprefix("eval_") + name: figure for name, figure in figures.items()}

    keep_best = KeepBest(
        folder / "best.safetensors",
        run.metric.main,
        greater_is_better=run.metric.greater_is_better,
        patience=run.training["early_stopping_patience"],
    )
    trainer = RunTrainer(
        model=model,
        args=training_arguments(run.training, seed=run.seed, folder=folder),
        train_dataset=features["train"].rows,
        eval_dataset=features["validation"].rows,
        lengths=features["train"].lengths,
        generation=run.setting.generation,
        collators={
            phase: run.kind.collator(run.setting, training=phase == "training") for phase in ("training", "evaluation")
        },
        compute_metrics=compute_metrics,
        preprocess_logits_for_metrics=run.kind.outputs,
        callbacks=[keep_best, Watch(on_step)],
    )
    return trainer, keep_best


def _measure(
    run: Run, features: Mapping[str, Split], folder: Path, on_step: Callable[[int, int], None]
) -> dict[str, Any]:
    """The part of the record that only training and evaluation can tell."""
    trainer, keep_best = make_trainer(run, features, folder, on_step)
    with PeakMemory() as peak:
        trained = train(trainer, keep_best)
    keep_best.file.unlink()
    trainer.compute_metrics = None  # the test split is scored here, once
    outputs = trainer.predict(features["test"].rows).predictions
    predictions = _predictions(run, features, "test", outputs)
    references = run.kind.references(run.data.splits["test"])
    save_adapter(trainer.model, run, folder)
    trainable, total = count_parameters(trainer.model)
    return {
        "metrics": {
            "validation": dict(trained.validation),
            "test": run.metric.compute(references=references, predictions=predictions),
        },
        "report": run.metric.report(references, predictions),
        "trainable_parameters": trainable,
        "total_parameters": total,
        "train_seconds": trained.seconds,
        "train_examples_per_second": trained.examples_per_second,
        "peak_memory_bytes": peak.bytes,
        "adapter_bytes": file_bytes(folder, WEIGHT_SUFFIXES),
        "loss_curve": trained.loss_curve,
        "validation_curve": trained.validation_curve,
        "best_step": trained.best_step,
        "predictions": [
            {"split": "test", "index": index, "reference": reference, "prediction": prediction}
            for index, (reference, prediction) in enumerate(zip(references, predictions, strict=True))
        ],
    }


def _predictions(run: Run, features: Mapping[str, Split], split: str, outputs: Any) -> list[Any]:
    """The outputs of the rows of a split, read as the kind reads them, one per example."""
    rows, encoded = features[split].restore(outputs), features[split].encoded
    return run.kind.predictions(rows, encoded, run.data.splits[split], run.setting)


def _frame(run: Run, started: str) -> records.Record:
    """The part of the record that is known before the run."""
    empty: dict[str, Any] = dict.fromkeys(records.FIELDS)
    return {
        **empty,
        "schema_version": records.SCHEMA_VERSION,
        "run": run.hash,
        "task": run.task.name,
        "kind": run.task.kind,
        "method": run.method.label,
        "model": run.model.slug,
        "seed": run.seed,
        "main_metric": run.metric.main,
        "metric": {
            "name": run.metric.name,
            "options": run.metric.options,
            "signature": run.metric.signature,
            "greater_is_better": run.metric.greater_is_better,
        },
        "metrics": {"validation": {}, "test": {}},
        "report": [],
        "loss_curve": [],
        "validation_curve": [],
        "configuration": run.configuration,
        "data": run.data_record,
        "versions": {name: version(name) for name in PACKAGES},
        "commit": _commit(),
        "hardware": hardware(),
        "determinism": DETERMINISM,
        "started": started,
    }


def _commit() -> str | None:
    """The commit of the checkout that this file lies in; None in an installed copy."""
    git = ["git", "-C", str(Path(__file__).parent), "log", "-1", "--format=%H", "--", "."]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip() or None
    except (OSError, subprocess.CalledProcessError):
        return None


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
