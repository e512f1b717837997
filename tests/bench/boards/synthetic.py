"""Synthetic records with known truth, in the shape of real ones: for tests alone, no result of anything."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from peft_bottleneck_bench import metrics, records
from peft_bottleneck_bench.boards import Board, boards

LABELS = ["anger", "joy", "neutral", "surprise"]
WORDS = ["a", "dog", "runs", "over", "the", "green", "hill", "while", "two", "children", "watch", "old", "bridge"]
#: label -> (trainable parameters, train seconds, peak memory, adapter bytes)
COSTS = {
    "full": (22_713_216, 210.0, 1_900_000_000, 90_900_000),
    "houlsby": (298_752, 95.0, 1_120_000_000, 1_210_000),
    "pfeiffer": (149_376, 88.0, 1_090_000_000, 612_000),
    "parallel_adapter": (890_112, 92.0, 1_130_000_000, 3_570_000),
    "lora": (294_912, 101.0, 1_150_000_000, 1_190_000),
    "head_only": (1_538, 31.0, 890_000_000, 9_000),
}

Draw = Callable[[np.random.Generator, Sequence[Any], float], list[Any]]


def classify(generator: np.random.Generator, references: Sequence[str], skill: float) -> list[str]:
    right = generator.random(len(references)) < skill
    other = generator.choice(LABELS, size=len(references))
    return [str(r if ok else o) for r, ok, o in zip(references, right, other, strict=True)]


def tag(generator: np.random.Generator, references: Sequence[list[str]], skill: float) -> list[list[str]]:
    return [[t if generator.random() < skill else "O" for t in tags] for tags in references]


def rewrite(generator: np.random.Generator, references: Sequence[str], skill: float) -> list[str]:
    def word(kept: str) -> str:
        return kept if generator.random() < skill else str(generator.choice(WORDS))

    return [" ".join(map(word, text.split())) for text in references]


def guess(generator: np.random.Generator, references: Sequence[float], skill: float) -> list[float]:
    noise = generator.normal(0, 1, size=len(references))
    return [round(skill * r + (1 - skill) * e, 3) for r, e in zip(references, noise, strict=True)]


def labels(generator: np.random.Generator, n: int) -> list[str]:
    return [str(label) for label in generator.choice(LABELS, size=n, p=[0.1, 0.3, 0.4, 0.2])]


def tag_lists(generator: np.random.Generator, n: int) -> list[list[str]]:
    pieces = [["O"], ["O"], ["B-PER", "I-PER"], ["B-LOC"], ["B-PER"]]
    return [[t for i in generator.integers(len(pieces), size=6) for t in pieces[i]] for _ in range(n)]


def sentences(generator: np.random.Generator, n: int) -> list[str]:
    return [" ".join(generator.choice(WORDS, size=generator.integers(6, 16))) for _ in range(n)]


def ratings(generator: np.random.Generator, n: int) -> list[float]:
    return [round(float(x), 2) for x in generator.uniform(0, 5, size=n)]


KINDS: dict[str, tuple[str, Callable[[np.random.Generator, int], list[Any]], Draw]] = {
    "classification": ("classification", labels, classify),
    "ner": ("seqeval", tag_lists, tag),
    "translation": ("translation", sentences, rewrite),
    "regression": ("regression", ratings, guess),
}


def write_run(
    folder: Path,
    method: str,
    seed: int,
    skill: float,
    *,
    kind: str = "classification",
    task: str | None = None,
    model: str = "all-MiniLM-L6-v2",
    examples: int = 200,
    predictions: list[Any] | None = None,
    **fields: Any,
) -> Path:
    """Writes the record, and the predictions, of one run that gets about `skill` of its examples right."""
    module, draw_references, draw_predictions = KINDS[kind]
    task = task or f"synthetic_{kind}"
    generator = np.random.default_rng([int.from_bytes(hashlib.sha256(f"{task} {method}".encode()).digest()[:4]), seed])
    references = draw_references(np.random.default_rng(examples), examples)
    predictions = predictions or draw_predictions(generator, references, skill)
    metric = metrics.load(module)
    figures = metric.compute(references=references, predictions=predictions)
    trainable, seconds, memory, size = COSTS.get(method.split()[0], COSTS["lora"])
    steps = range(10, 310, 10)
    record: dict[str, Any] = {
        "schema_version": records.SCHEMA_VERSION,
        "status": "finished",
        "reason": None,
        "run": hashlib.sha256(f"{task} {model} {method} {seed}".encode()).hexdigest()[:10],
        "task": task,
        "kind": kind,
        "method": method,
        "model": model,
        "seed": seed,
        "main_metric": metric.main,
        "metric": {
            "name": metric.name,
            "options": metric.options,
            "signature": metric.signature,
            "greater_is_better": metric.greater_is_better,
        },
        "metrics": {"validation": figures, "test": figures},
        "report": metric.report(references, predictions),
        "trainable_parameters": trainable,
        "total_parameters": 22_713_216 + trainable,
        "train_seconds": seconds * float(generator.uniform(0.95, 1.05)),
        "train_examples_per_second": 6000 / seconds,
        "peak_memory_bytes": memory,
        "adapter_bytes": size,
        "loss_curve": [[s, 0.2 + 1.2 * float(np.exp(-s / 90)) + float(generator.normal(0, 0.02))] for s in steps],
        "validation_curve": [[s, figures[metric.main] * (1 - float(np.exp(-s / 60)))] for s in (100, 200, 300)],
        "best_step": 300,
        "configuration": {"method": method, "seed": seed, "training": {"learning_rate": 1e-3}},
        "data": {
            "source": "synthetic",
            "revision": None,
            "sha256": hashlib.sha256(task.encode()).hexdigest(),
            "licence": "CC0-1.0",
            "counts": {"train": 2000, "validation": examples, "test": examples},
        },
        "versions": {"torch": "2.13.0"},
        "commit": None,
        "hardware": {
            "device": "cpu",
            "processor": "synthetic",
            "cores": 2,
            "memory_bytes": 16_000_000_000,
            "platform": "Linux",
        },
        "determinism": "synthetic",
        "started": "2026-01-31T12:00:00Z",
        "finished": "2026-01-31T12:05:00Z",
        "predictions": None,
        **fields,
    }
    path = folder / task / model / method / f"seed{seed}-{record['run']}.json"
    if record["status"] == "finished" and "predictions" not in fields:
        rows = zip(references, predictions, strict=True)
        side = records.predictions_path(path)
        records.write_predictions(
            (records.Prediction(split="test", index=i, reference=r, prediction=p) for i, (r, p) in enumerate(rows)),
            side,
        )
        record["predictions"] = side.name
    records.write(records.Record(**record), path)
    return path


def write_hostile_run(folder: Path, method: str, seed: int, text: str) -> Path:
    """Writes a run with `text` in every field that may hold any."""
    path = write_run(folder, method, seed, 0.9)
    record = records.read(path)
    side = records.predictions_path(path)
    rows = [
        records.Prediction(split="test", index=row.index, reference=text, prediction=text + str(row.index), more=text)
        for row in records.read_predictions(side)
    ]
    records.write_predictions(rows, side)
    part = record.metric.model_copy(
        update={"signature": text, "options": {"main": text, text: text}, "name": "hostile/" + text}
    )
    records.write(
        record.replace(
            run=text,
            task=text,
            method=method + text,
            model=text,
            main_metric=text,
            metric=part,
            metrics={"validation": {text: 0.5}, "test": {text: 0.5, text + "2": 0.1}},
            report=[{"label": text, "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 1}],
            configuration={"method": text, text: {text: [text]}, "seed": seed},
            data={**record.data.model_dump(), "source": text, "revision": text, "sha256": text, "licence": text},
            versions={text: text},
            commit=text,
            hardware={**record.hardware.model_dump(), "device": text, "processor": text, "platform": text},
            determinism=text,
        ),
        path,
    )
    return path


def write_failed_run(folder: Path, method: str, seed: int, reason: str, **options: Any) -> Path:
    """Writes the record of a run that failed with `reason`."""
    unknown = ("trainable_parameters", "train_seconds", "train_examples_per_second", "peak_memory_bytes")
    return write_run(
        folder,
        method,
        seed,
        0.5,
        **options,
        **dict.fromkeys((*unknown, "adapter_bytes", "best_step")),
        status="failed",
        reason=reason,
        metrics={"validation": {}, "test": {}},
        report=[],
        loss_curve=[],
        validation_curve=[],
    )


def write_grid(folder: Path, kinds: Sequence[str] = tuple(KINDS)) -> None:
    """A grid of `kinds`, six methods and three seeds, with a failed run, missing seeds and a missing task."""
    for kind in kinds:
        for method, skill in zip(COSTS, (0.9, 0.885, 0.88, 0.89, 0.87, 0.6), strict=True):
            for seed in range(3):
                if (kind, method, seed) == ("classification", "lora", 1):
                    write_failed_run(folder, method, seed, "the loss is NaN at step 40", kind=kind)
                elif (kind, method) != ("translation", "head_only") and (kind, method, seed) != ("ner", "full", 2):
                    write_run(folder, method, seed, skill + 0.004 * (seed - 1), kind=kind)


def found(folder: Path) -> list[Board]:
    """The boards of the records below `folder`."""
    return boards(records.read_all(folder)[0])


def only(folder: Path) -> Board:
    """The only one."""
    (board,) = found(folder)
    return board
