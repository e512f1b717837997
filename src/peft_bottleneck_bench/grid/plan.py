"""The runs of a grid, each checked before any of them starts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from eval_tasks import Task

from ..configuration.reading import Configuration, MethodChoice
from ..configuration.training_options import score_relevant
from ..data.loading import SPLITS, Data, load_data
from ..errors import UserError
from ..kinds import KINDS, Kind, Setting
from ..kinds.relation_extraction import marker_words
from ..metrics.of_task import check_references, metric_of
from ..models.base_model import BaseModel
from ..models.initial import check_initial, identity
from ..models.methods import METHODS, check_fit
from ..training import processes

# Goes into every run's hash: raised when a change of this harness changes scores.
PROTOCOL = 1


@dataclass(frozen=True, kw_only=True)
class Run:
    """One task × method × model × seed, fixed by its resolved configuration."""

    task: Task
    data: Data
    metric: Any  # metrics.Metric or metrics.HubMetric
    model: BaseModel
    method: MethodChoice
    seed: int
    training: Mapping[str, Any]
    limits: Mapping[str, int]
    setting: Setting
    trainable_parameters: int
    total_parameters: int
    results: Path
    adapters: Path
    trial: str = ""  # of a search: which one, for people; a final run and one without a search have none
    search: Mapping[str, Any] | None = None  # of a final run: what was tried, and which trial gave the settings

    @property
    def kind(self) -> Kind:
        return KINDS[self.task.kind]

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """Everything that was asked for, defaults filled in."""
        return {
            "protocol": PROTOCOL,
            "task": self.task.name,
            "kind": self.task.kind,
            "data": dict(self.data.identity),
            "columns": dict(self.task.columns),
            "labels": list(self.data.labels),
            "metric": {"name": self.metric.name, **self.metric.options},
            "model": dict(self.model.identity),
            "method": self.method.name,
            "options": {**METHODS[self.method.name].defaults, **self.method.options},
            "seed": self.seed,
            "limits": dict(self.limits),
            "max_length": self.setting.max_length,
            "prompt": self.setting.prompt,
            "markers": list(self.setting.markers),
            "generation": dict(self.setting.generation),
            "training": {key: self.training[key] for key in sorted(self.training)},
            **(identity(self.method.initial) if self.method.initial else {}),
            # Part of the run's identity: the same settings found by more trials are another result.
            **({} if self.search is None else {"search": dict(self.search)}),
            # They share the batches out: two of batch size 16 train as one of 32, but for their dropout.
            **({} if processes.count() == 1 else {"processes": processes.count()}),
        }

    @cached_property
    def hash(self) -> str:
        """Of what decides the score, search included: runs that share it must give the same on the same machine."""
        decisive = {**self.configuration, "training": score_relevant(self.training)}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:10]

    @property
    def place(self) -> Path:
        """Where the run belongs below `results` and `adapters`."""
        return Path(self.task.name, self.model.slug, self.method.label, f"seed{self.seed}-{self.hash}")

    @property
    def record_path(self) -> Path:
        return (self.results / self.place).with_suffix(".json")

    @property
    def adapter_path(self) -> Path:
        return self.adapters / self.place

    @property
    def data_record(self) -> dict[str, Any]:
        """The data as the record describes them."""
        identity = self.data.identity
        hub = "hub" in identity
        files = ", ".join(identity[split]["file"] for split in SPLITS if not hub)
        return {
            "source": identity["hub"] if hub else self.task.source or files,
            "revision": identity["revision"] if hub else None,
            "sha256": None if hub else hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest(),
            "licence": self.task.licence or None,
            "counts": self.data.counts,
        }

    def __str__(self) -> str:
        return f"{self.task.name} · {self.method.label} · {self.model.slug} · {self.trial or f'seed {self.seed}'}"


def plan(configuration: Configuration) -> list[Run]:
    """All runs of the grid, in the order tasks, models, methods, seeds.

    Reads all data, and tries every method on every model (without weights), so that nothing a user can mend is left
    to be found hours later.

    Raises:
        UserError: one message for everything that is wrong.
    """
    errors: list[UserError] = []

    def attempt(action: Any, *arguments: Any) -> Any:
        try:
            return action(*arguments)
        except UserError as error:
            errors.append(error)
            return None

    models = [
        model for name in configuration.models if (model := attempt(BaseModel.named, name, configuration.quantization))
    ]
    runs: list[Run] = []
    for task in configuration.tasks:
        metric = attempt(metric_of, task)
        data = attempt(load_data, task, KINDS[task.kind], configuration.limits)
        if metric is None or data is None:
            continue
        attempt(check_references, task, data, metric)
        for model in models:
            runs += attempt(_runs_of, configuration, task, data, metric, model) or ()
    if errors:
        raise UserError.collect(errors)
    return runs


def _runs_of(configuration: Configuration, task: Task, data: Data, metric: Any, model: BaseModel) -> list[Run]:
    """The runs of one task on one model, after trying every method on it."""
    kind = KINDS[task.kind]
    kind.check_model(model)
    if model.quantization:
        model.quantised_loading(kind.auto_class(model.config))
    runs = []
    for method in configuration.methods:
        if model.quantization and METHODS[method.name].config is None:
            raise UserError(f"method '{method.label}' has no adapter, and a quantised base trains with adapters only")
        training = {
            "learning_rate": METHODS[method.name].learning_rate,
            **configuration.training,
            **method.training,
        }
        setting = make_setting(task, data, model, configuration.max_length, training)
        trainable, total = check_fit(setting, method.name, method.options, kind)
        if method.initial:
            check_initial(method.initial, method.name, method.options, kind, setting)
        runs += [
            Run(
                task=task,
                data=data,
                metric=metric,
                model=model,
                method=method,
                seed=seed,
                training=training,
                limits=configuration.limits,
                setting=setting,
                trainable_parameters=trainable,
                total_parameters=total,
                results=configuration.results,
                adapters=configuration.adapters,
            )
            for seed in configuration.seeds
        ]
    return runs


def make_setting(
    task: Task, data: Data, model: BaseModel, max_length: int | None, training: Mapping[str, Any]
) -> Setting:
    """What the kind must know of the runs of `task` on `model`."""
    kind = KINDS[task.kind]
    prompt = ""
    markers: tuple[str, ...] = ()
    generation: dict[str, Any] = {}
    if kind.generates:
        source = f"{{{kind.columns[0]}}}"
        prompt = task.source_prefix + source if model.config.is_encoder_decoder else task.prompt or f"{source}\n\n"
        generation = {
            "max_new_tokens": training["generation_max_length"],
            "num_beams": training["generation_num_beams"],
            "do_sample": False,
        }
    if task.kind == "relation_extraction":
        markers = marker_words(data.splits["train"], typed=task.markers == "typed")
    return Setting(
        model=model,
        labels=data.labels,
        max_length=model.input_length(max_length, generation.get("max_new_tokens", 0)),
        prompt=prompt,
        markers=markers,
        generation=generation,
    )
