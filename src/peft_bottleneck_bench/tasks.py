"""The content of a task file: kind, data, metric and licence.

A file `eval_tasks/<name>.py` holds one constant `TASK = Task(...)`. It is found by its place: no list names it. Users
keep their own task files in a folder of their own (`tasks_from: DIR`). Nothing here imports torch, so that listing the
tasks is instant.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from traceback import walk_tb
from types import ModuleType
from typing import Any, Literal, get_args

from .errors import UserError, first_line, suggest
from .shipped import shipped_folder

KindName = Literal[
    "classification",
    "multilabel_classification",
    "regression",
    "ner",
    "relation_extraction",
    "translation",
    "summarization",
    "generation",
    "multiple_choice",
    "image_classification",
]
KINDS: tuple[str, ...] = get_args(KindName)
MARKERS = ("untyped", "typed")
SCHEMES = ("iob2", "iob1", "iobes", "bilou")
CLASS_WEIGHTS = ("balanced",)
SHIPPED = shipped_folder("eval_tasks")


@dataclass(frozen=True, kw_only=True)
class Format:
    """How files are read, where the suffix does not say it.

    Args:
        format: one of `peft_bottleneck_bench.data.files.FORMATS`; empty: the suffix says it.
        delimiter: of separated values; empty: that of the format.
        quote: the quotation mark of separated values; empty: there is none; None: that of the format.
        header: True: the first record has the names. False: there is none, and columns are called 0, 1, …. A tuple:
            there is none, and these are the names, of the columns of separated values or CoNLL files.
    """

    format: str = ""
    delimiter: str = ""
    quote: str | None = None
    header: bool | tuple[str, ...] = True

    @property
    def settings(self) -> dict[str, object]:
        """The fields beside `format` that differ from their defaults."""
        given = {field.name: getattr(self, field.name) for field in fields(Format) if field.name != "format"}
        return {name: value for name, value in given.items() if value != getattr(Format, name)}


@dataclass(frozen=True, kw_only=True)
class Files(Format):
    """Local files. A split is one file, several files or patterns (`train-*.jsonl`) of one format, two plain text
    files that are aligned by lines, the first with the inputs, or a folder: of images, or one that `save_to_disk`
    wrote.

    Args:
        validation: as the others; or how many examples of train to take for it, as a number or as a share below 1, by
            a shuffle that is always the same.
    """

    train: str | tuple[str, ...]
    validation: str | tuple[str, ...] | int | float
    test: str | tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Hub:
    """A dataset of the Hugging Face hub.

    Splits are written as `datasets` writes them: `"train"`, `"train[:-2000]"`.

    Args:
        revision: a commit, so that the data cannot change under a score. Where none is known: the branch
            `refs/convert/parquet`, on which the hub keeps its conversion of a dataset that is a script.
        config: a name that the dataset gives to one of its parts.
        folder: the folder of the files, for parts that have no name: those of the branch.
        validation: a split; or how many examples of train to take for it, as a number or as a share below 1, by a
            shuffle that is always the same.
    """

    id: str
    revision: str
    config: str | None = None
    folder: str | None = None
    train: str = "train"
    validation: str | int | float = "validation"
    test: str = "test"


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task: data, kind and one main metric.

    Args:
        name: the file's name, and the name in configurations and records.
        kind: one of `KINDS`; it fixes the columns, the model's head, the metrics.
        data: `Files` or `Hub`.
        columns: the kind's column names to the source's, where they differ: `{"text": "sentence"}`.
        convert: where columns alone do not fit: makes the kind's examples, none or several, of one row of the source.
        labels: the label names in the order of their numbers. Empty: those of the source, or of its train split. For
            named entities: their types, or the tags in the order of their numbers, where the source has numbers.
        scheme: for named entities: how the source writes tags, one of `SCHEMES`. Empty: strict IOB2.
        class_weights: `balanced`: the loss of a label is weighted by the inverse of its frequency in train.
        metric: a metric of `peft_bottleneck_bench.metrics`, or of the hub. Empty: the kind's own.
        metric_options: its arguments.
        main_metric: the score of the metric that ranks. Empty: the metric's own.
        negative_label: for relation extraction: the label that says "no relation", which no F1 counts.
        prompt: for kinds that generate: what a decoder-only model reads, with columns in braces.
        source_prefix: for translation and summarization: what an encoder–decoder reads before the source.
        markers: for relation extraction: whether the markers of entities name their type, one of `MARKERS`.
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
    scheme: str = ""
    class_weights: str = ""
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
    """The three files of the small set `eval_tasks/data/<name>`."""
    folder = SHIPPED / "data" / name
    train, validation, test = (str(folder / f"{split}.{suffix}") for split in ("train", "validation", "test"))
    return Files(train=train, validation=validation, test=test)


def is_shipped(data: Files | Hub) -> bool:
    """Whether the files are in `eval_tasks/data`; only licensees have the files of a set under licence."""
    return isinstance(data, Files) and str(data.train).startswith(str(SHIPPED))


def task_files(folders: Iterable[Path] = ()) -> dict[str, Path]:
    """The file of every registered task, by name, sorted: those of the project, and those in `folders`.

    Files whose names begin with `_` are no tasks: tasks import what they share from them (`from ._shared import …`).

    Raises:
        UserError: a folder does not exist, or two folders have a task of the same name.
    """
    files: dict[str, Path] = {}
    errors = []
    for folder in (SHIPPED, *folders):
        if not folder.is_dir():
            errors.append(UserError(f"tasks_from: {folder}: no such folder"))
        for file in sorted(folder.glob("*.py")):
            known = files.get(file.stem)
            if known and known.resolve() != file.resolve():
                errors.append(UserError(f"task '{file.stem}' has two files, {known} and {file}: rename one"))
            elif not file.name.startswith("_"):
                files[file.stem] = file
    if errors:
        raise UserError.collect(errors)
    return dict(sorted(files.items()))


def task_names(folders: Iterable[Path] = ()) -> list[str]:
    """The names of all registered tasks, sorted; no task file is executed."""
    return list(task_files(folders))


def load_task(name: str, folders: Iterable[Path] = ()) -> Task:
    """The task that the file `<name>.py` defines.

    Raises:
        KeyError: there is no such file.
        UserError: the file cannot be executed, or defines no `TASK` of its name.
    """
    file = task_files(folders)[name]
    try:
        task = getattr(import_module(f"{_package_of(file.parent)}.{name}"), "TASK", None)
    except (Exception, SystemExit) as error:  # a task file may raise anything
        raise UserError(f"{file}{_line_in(file, error)}: {type(error).__name__}: {first_line(error)}") from error
    if not isinstance(task, Task):
        raise UserError(f"{file}: expected TASK = Task(…), found {task!r}")
    if task.name != name:
        raise UserError(f"{file}: the task's name is '{task.name}': give it the name of its file, '{name}'")
    if wrong := list(_wrong_fields(task)):
        raise UserError(*(f"{file}: {problem}" for problem in wrong))
    if task.kind not in KINDS:
        raise UserError(f"{file}: unknown kind '{task.kind}': {suggest(task.kind, KINDS)}")
    return task


def _package_of(folder: Path) -> str:
    """The name of a package of all modules in `folder`, which needs no `__init__.py` and no place on `sys.path`."""
    place = str(folder.resolve())
    name = f"peft_bottleneck_tasks_{sha256(place.encode()).hexdigest()[:8]}"
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [place]
        sys.modules[name] = package
    return name


def _wrong_fields(task: Task) -> Iterator[str]:
    """The fields of a task that are of another type than `Task` declares: Python does not check them."""
    types: dict[str, tuple[type | tuple[type, ...], str]] = {
        "data": ((Files, Hub), "Files(…) or Hub(…)"),
        "columns": (Mapping, "a mapping of names"),
        "convert": ((Callable, type(None)), "a function"),  # type: ignore[dict-item]
        "labels": ((tuple, list), "a tuple of names"),
        "metric_options": (Mapping, "a mapping of options"),
    }
    for each in fields(Task):
        type_, words = types.get(each.name, (str, "text"))
        value = getattr(task, each.name)
        if not isinstance(value, type_):
            yield f"{each.name}: expected {words}, found {value!r}"
    for choice, choices in (("markers", MARKERS), ("scheme", ("", *SCHEMES)), ("class_weights", ("", *CLASS_WEIGHTS))):
        if isinstance(value := getattr(task, choice), str) and value not in choices:
            yield f"unknown {choice} '{value}': {suggest(value, filter(None, choices))}"
    if isinstance(task.data, Files):
        for split in ("train", "validation", "test"):
            value = getattr(task.data, split)
            counts = (int, float) if split == "validation" else ()
            if not isinstance(value, (str, tuple, *counts)) or isinstance(value, bool):
                yield f"data.{split}: expected the path of a file, found {value!r}"


def _line_in(file: Path, error: BaseException) -> str:
    """The line of `file` that raised `error`, in words."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}" if error.lineno else ""
    lines = [line for frame, line in walk_tb(error.__traceback__) if Path(frame.f_code.co_filename).name == file.name]
    return f", line {lines[-1]}" if lines else ""
