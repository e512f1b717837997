"""One file per task: what is measured, on which data, under which licence.

A file `eval_tasks/<name>.py` holds one constant `TASK = Task(...)` and is found by its place alone; folders hold what
tasks share. Nothing here imports torch, so listing the tasks is instant; `peft_bottleneck_bench` turns a task into
tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

KINDS = ("classification", "regression", "ner", "relation_extraction", "translation", "summarization")
MARKERS = ("untyped", "typed")


@dataclass(frozen=True, kw_only=True)
class Files:
    """Local files: one per split, or two that are aligned by lines, the first with the inputs.

    Args:
        validation: as the others; or how many examples of train to take for it, by a shuffle that is always the same.
        format: where the suffix does not tell it: one of `peft_bottleneck_bench.data.files.FORMATS`.
    """

    train: str | tuple[str, str]
    validation: str | tuple[str, str] | int
    test: str | tuple[str, str]
    format: str = ""


@dataclass(frozen=True, kw_only=True)
class Hub:
    """A dataset of the Hugging Face hub.

    Splits are written as `datasets` writes them: `"train"`, `"train[:-2000]"`.

    Args:
        revision: a commit, so that the data cannot change under a score. Where the task's author had none to name: the
            branch `refs/convert/parquet`, on which the hub keeps what it made of a dataset that was a script.
        config: a name that the dataset gives to one of its parts.
        folder: the folder of the files, for parts that have no name: those of the branch.
        validation: a split; or how many examples of train to take for it, by a shuffle that is always the same.
    """

    id: str
    revision: str
    config: str | None = None
    folder: str | None = None
    train: str = "train"
    validation: str | int = "validation"
    test: str = "test"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is measured: data, kind and one main metric.

    Args:
        name: the file's name, and the name in configurations and records.
        kind: one of `KINDS`; it fixes the columns, the model's head, the metrics.
        data: `Files` or `Hub`.
        columns: the kind's column names to the source's, where they differ: `{"text": "sentence"}`.
        convert: where columns alone do not fit: makes the kind's examples, none or several, of one row of the source.
        labels: the label names in the order of their numbers. Empty: those of the source, or of its train split.
        metric: a metric of `peft_bottleneck_bench.metrics`, or of the hub. Empty: the kind's own.
        metric_options: its arguments.
        main_metric: the figure of the metric that ranks. Empty: the metric's own.
        negative_label: for relation extraction: the label that says "no relation", which no F1 counts.
        prompt: for kinds that generate: what a decoder-only model reads, with the source column in braces.
        source_prefix: for kinds that generate: what an encoder–decoder reads before the source.
        markers: for relation extraction: whether the markers of entities tell their type, one of `MARKERS`.
        licence: of the data, as its source states it.
        source: where the data comes from, as a citation or an address.
        description: one sentence.
    """

    name: str
    kind: str
    data: Files | Hub
    columns: Mapping[str, str] = field(default_factory=dict)
    convert: Callable[[dict[str, Any]], Iterable[dict[str, Any]]] | None = None
    labels: tuple[str, ...] = ()
    metric: str = ""
    metric_options: Mapping[str, Any] = field(default_factory=dict)
    main_metric: str = ""
    negative_label: str = ""
    prompt: str = ""
    source_prefix: str = ""
    markers: str = MARKERS[0]
    licence: str = ""
    source: str = ""
    description: str = ""


def shipped(name: str, suffix: str = "jsonl") -> Files:
    """The three files of a small set that lies in `eval_tasks/data/<name>`."""
    folder = Path(__file__).parent / "data" / name
    return Files(**{split: str(folder / f"{split}.{suffix}") for split in ("train", "validation", "test")})


def is_shipped(data: Files | Hub) -> bool:
    """Whether the files lie in `eval_tasks/data`; a set under licence has files that only its licensees have."""
    return isinstance(data, Files) and str(data.train).startswith(str(Path(__file__).parent))


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
