"""One file per task: what is measured, on which data, under which licence.

A file `eval_tasks/<name>.py` holds one constant `TASK = Task(...)` and is found by its place alone. Nothing here
imports torch, so listing the tasks is instant; `peft_bottleneck.bench` turns a task into tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

KINDS = ("classification",)


@dataclass(frozen=True, kw_only=True)
class Files:
    """One file per split; the suffix tells the format: `.jsonl`, `.json`, `.csv`, `.tsv` or `.parquet`."""

    train: str
    validation: str
    test: str


@dataclass(frozen=True, kw_only=True)
class Hub:
    """A dataset of the Hugging Face hub.

    `revision` is a commit, so that the data cannot change under a score. Splits are written as `datasets` writes them:
    `"train"`, `"train[:-2000]"`.
    """

    id: str
    revision: str
    config: str | None = None
    train: str = "train"
    validation: str = "validation"
    test: str = "test"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is measured: data, kind and one main metric.

    Args:
        name: the file's name, and the name in configurations and records.
        kind: one of `KINDS`; it fixes the columns, the model's head, the metrics.
        data: `Files` or `Hub`.
        columns: the kind's column names to the source's, where they differ: `{"text": "sentence"}`.
        labels: the label names in the order of their numbers. Empty: those of the source, or of its train split.
        main_metric: the metric that ranks. Empty: the kind's own.
        licence: of the data, as its source states it.
        source: where the data comes from, as a citation or an address.
        description: one sentence.
    """

    name: str
    kind: str
    data: Files | Hub
    columns: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    main_metric: str = ""
    licence: str = ""
    source: str = ""
    description: str = ""


def shipped(name: str, suffix: str = "jsonl") -> Files:
    """The three files of a small set that lies in `eval_tasks/data/<name>`."""
    folder = Path(__file__).parent / "data" / name
    return Files(**{split: str(folder / f"{split}.{suffix}") for split in ("train", "validation", "test")})


def task_names() -> list[str]:
    """The names of all registered tasks, sorted, without importing one."""
    return sorted(module.name for module in iter_modules(__path__) if not module.ispkg)


def load_task(name: str) -> Task:
    """The task that `eval_tasks/<name>.py` defines.

    Raises:
        KeyError: there is no such file.
    """
    if name not in task_names():
        raise KeyError(name)
    task: Task = import_module(f"{__name__}.{name}").TASK
    return task
