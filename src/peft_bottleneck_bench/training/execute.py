"""One run, from its plan to its record."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, cast

from transformers import set_seed

from peft_bottleneck import reuse_prefix

from .. import processes, records
from ..files import check_writable, writing
from ..hardware import hardware
from ..models.trainable import count_parameters, make_trainable
from ..models.weight_files import SUFFIXES
from ..run import Run
from ..saved.initial import load_initial
from ..saved.saving import save_adapter
from ..tasks import KindName
from . import checkpoints
from .callbacks import PREFIX, KeepBest, Prune, Watch
from .features import Split
from .lengths import notes_on_lengths
from .trackers import tracked
from .trainer import RunTrainer
from .training import train, training_arguments

ADAPTER_FOLDER = "adapter"
DETERMINISM = (
    "Same score for the same run, package versions and machine on a CPU with the same number of threads; "
    "elsewhere floating-point sums may be ordered differently, and the last digits with them."
)


def execute(
    run: Run,
    features: Mapping[str, Split],
    on_step: Callable[[int, int], None],
    say: Callable[[str], object] = lambda line: None,
) -> records.Record:
    """Trains and evaluates, and writes the adapter, the predictions and the record, in this order.

    Until then a working folder beside the adapter's place holds checkpoints, and the next start goes on from the last
    one. All processes of a launch call this together; the main one writes.

    Args:
        on_step: is called after each step with its number and how many there are.
        say: is called with notes on the checkpoints for the user.

    Raises:
        StorageError: something cannot be written.
        Exception: another error of the training; nothing is left then.
    """
    started = _now()
    work = run.adapter_path.with_name(f"{run.adapter_path.name}.partial")
    checkpoint = processes.on_main(lambda: _prepare(run, work, say))
    try:
        with processes.all_or_none(lambda reason: _write_failed(run, reason)), writing(work.parent), tracked(run):
            measured, predictions = _measure(run, features, work, checkpoint, on_step)
            if processes.is_main():
                shutil.rmtree(run.adapter_path, ignore_errors=True)
                (work / ADAPTER_FOLDER).rename(run.adapter_path)
                predictions_path = records.predictions_path(run.record_path)
                records.write_predictions(predictions, predictions_path)
                shutil.rmtree(work)  # after the record nobody looks for it
                record = _frame(run, started)(
                    **measured, status="finished", finished=_now(), predictions=predictions_path.name
                )
                records.write(record, run.record_path)
    except Exception:
        processes.on_main(lambda: shutil.rmtree(work, ignore_errors=True))
        raise
    return processes.on_main(lambda: records.read(run.record_path))


def failed(run: Run, reason: str, curve: records.Points = ()) -> records.Record:
    """Writes and returns the record of a run that could not be finished.

    Args:
        curve: of a trial that a pruner ended: `[step, score]` of its evaluations.
    """
    return processes.on_main(lambda: _write_failed(run, reason, curve))


def _write_failed(run: Run, reason: str, curve: records.Points = ()) -> records.Record:
    steps = curve[-1][0] if curve else None
    record = _frame(run, _now())(
        status="failed", reason=reason, finished=_now(), validation_curve=curve, train_steps=steps
    )
    records.write(record, run.record_path)
    return record


def _prepare(run: Run, work: Path, say: Callable[[str], object]) -> Path | None:
    """Makes the folders; returns the checkpoint that an earlier start has left, if it is whole."""
    checkpoint = checkpoints.latest(work / checkpoints.FOLDER, say)
    if checkpoint is None:
        shutil.rmtree(work, ignore_errors=True)
    check_writable(run.record_path.parent)
    check_writable(work)
    return checkpoint


def make_trainer(
    run: Run, features: Mapping[str, Split], folder: Path, on_step: Callable[[int, int], None]
) -> RunTrainer:
    """The run's model, ready to train; `folder` is for what is kept on the way."""
    set_seed(run.seed)  # the fresh head: the same for every method under this seed
    base = run.kind.load(run.context)
    if run.kind.task_type(run.model.config) != "CAUSAL_LM":
        # Their loss is the mean over a batch. For a model with `**kwargs`, Trainer assumes that it divides by a given
        # count, and would multiply the loss by the number of processes or of accumulated batches.
        base.accepts_loss_kwargs = False
    model = make_trainable(base, run.method.name, run.method.options, run.kind.task_type(run.model.config))
    if run.method.initial:
        load_initial(model, run.method.initial, run.kind, run.context)
    references = run.kind.references(run.data.splits["validation"])

    def compute_metrics(evaluated: Any) -> dict[str, float]:
        calibrated = _calibrated(run, features, evaluated.predictions) if run.kind.calibrates else run
        predictions = _predictions(calibrated, features, "validation", evaluated.predictions)
        scores = run.metric.compute(references=references, predictions=predictions)
        return {PREFIX.removeprefix("eval_") + name: score for name, score in scores.items()}

    keep_best = KeepBest(
        folder / checkpoints.BEST_FILE,
        run.metric.main,
        greater_is_better=run.metric.greater_is_better,
        patience=run.training["early_stopping_patience"],
    )
    return RunTrainer(
        model=model,
        args=training_arguments(run.training, seed=run.seed, folder=folder / checkpoints.FOLDER, name=str(run)),
        train_dataset=features["train"].rows,
        eval_dataset=features["validation"].rows,
        lengths=features["train"].lengths,
        generation=run.context.generation if run.kind.generates else {},
        collators={
            phase: run.kind.collator(run.context, training=phase == "training") for phase in ("training", "evaluation")
        },
        compute_metrics=compute_metrics,
        preprocess_logits_for_metrics=run.kind.outputs,
        compute_loss_func=run.kind.loss(run.context),
        keep_best=keep_best,
        callbacks=[Watch(on_step), *([Prune(keep_best, run.pruning)] if run.pruning else [])],
    )


def _measure(
    run: Run,
    features: Mapping[str, Split],
    work: Path,
    checkpoint: Path | None,
    on_step: Callable[[int, int], None],
) -> tuple[dict[str, Any], list[records.Prediction]]:
    """The part of the record that training and evaluation give, and the rows of its predictions."""
    trainer = make_trainer(run, features, work, on_step)
    with _reuse(run, trainer):
        trained = train(trainer, checkpoint)
        trainer.compute_metrics = None  # the test split is scored here, once
        if run.kind.calibrates:
            run = _calibrated(run, features, trainer.predict(features["validation"].rows).predictions)
        outputs = trainer.predict(features["test"].rows).predictions
    if not processes.is_main():
        return {}, []
    predictions = _predictions(run, features, "test", outputs)
    references = run.kind.references(run.data.splits["test"])
    folder = work / ADAPTER_FOLDER
    shutil.rmtree(folder, ignore_errors=True)  # of a start that ended here
    folder.mkdir()
    save_adapter(trainer.model, run.description, folder)
    trainable, total = count_parameters(trainer.model)
    encoded = [split.encoded for split in features.values()]
    lengths = notes_on_lengths(run, encoded, sum(run.data.counts.values()))
    measured = {
        "data": run.data_record.model_copy(update={"notes": (*run.data.notes, *lengths)}),
        "metrics": records.Scores(
            validation=trained.validation,
            test=run.metric.compute(references=references, predictions=predictions),
        ),
        "report": [records.ReportRow(**row) for row in run.metric.report(references, predictions)],
        "trainable_parameters": trainable,
        "total_parameters": total,
        "train_steps": trained.steps,
        "train_seconds": trained.seconds,
        "train_examples_per_second": trained.examples_per_second,
        "others_cpu_share": trained.others_cpu_share,
        "peak_memory_bytes": trained.peak_memory_bytes,
        "adapter_bytes": sum(file.stat().st_size for file in folder.iterdir() if file.suffix in SUFFIXES),
        "loss_curve": trained.loss_curve,
        "validation_curve": trained.validation_curve,
        "best_step": trained.best_step,
    }
    return measured, [
        records.Prediction(split="test", index=index, reference=reference, prediction=prediction)
        for index, (reference, prediction) in enumerate(zip(references, predictions, strict=True))
    ]


def _reuse(run: Run, trainer: RunTrainer) -> AbstractContextManager[object]:
    """While it is on, the frozen blocks of a run that reuses them are computed once for each example."""
    if run.prefix is None:
        return nullcontext()
    return reuse_prefix(trainer.model, run.prefix_folder, limit=run.prefix.limit_bytes)


def _predictions(run: Run, features: Mapping[str, Split], split: str, outputs: Any) -> list[Any]:
    """The outputs of the rows of a split, read as the kind reads them, one per example."""
    rows, encoded = features[split].restore(outputs), features[split].encoded
    return run.kind.predictions(rows, encoded, run.data.splits[split], run.context)


def _calibrated(run: Run, features: Mapping[str, Split], outputs: Any) -> Run:
    """The run with the thresholds that the outputs on validation decide."""
    rows = features["validation"].restore(outputs)
    return replace(run, context=run.kind.calibrated(rows, run.data.splits["validation"], run.context))


def _frame(run: Run, started: datetime) -> Callable[..., records.Record]:
    """Makes the record, whose first part is known before the run."""
    return partial(
        records.Record,
        schema_version=records.SCHEMA_VERSION,
        run=run.hash,
        task=run.task.name,
        kind=cast(KindName, run.task.kind),
        method=run.method.label,
        model=run.model.slug,
        seed=run.seed,
        main_metric=run.metric.main,
        metric=records.MetricUsed(
            name=run.metric.name,
            options=run.metric.options,
            signature=run.metric.signature,
            greater_is_better=run.metric.greater_is_better,
        ),
        configuration=run.configuration,
        data=run.data_record,
        versions=checkpoints.versions(),
        commit=_commit(),
        hardware=hardware(),
        determinism=DETERMINISM,
        started=started,
    )


def _commit() -> str | None:
    """The commit of the checkout that holds this file; None in an installed copy."""
    git = ["git", "-C", str(Path(__file__).parent), "log", "-1", "--format=%H", "--", "."]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip() or None
    except (OSError, subprocess.CalledProcessError):
        return None


def _now() -> datetime:
    return datetime.now(timezone.utc).replace(microsecond=0)
