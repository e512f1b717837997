"""The runs of a grid, each checked before any of them starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from .. import metrics
from ..configuration.reading import Configuration
from ..data.loading import Data, load_data
from ..errors import UserError
from ..kinds import KINDS, Kind, Setting
from ..kinds.relation_extraction import marker_words
from ..models.base_model import BaseModel
from ..models.methods import METHODS, count_parameters, make_trainable
from ..run import Run
from ..saved.initial import check_initial, keeps_head
from ..tasks import Task


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


def metric_of(task: Task) -> Any:
    """The `metrics.Metric` or `metrics.HubMetric` that judges `task`.

    Raises:
        UserError: there is none of this name, or it has no such figure or option.
    """
    name = task.metric or KINDS[task.kind].metric
    options = dict(task.metric_options)
    if task.negative_label:
        if name != KINDS["relation_extraction"].metric:
            raise UserError(f"task '{task.name}': negative_label: metric '{name}' takes none, it has rules of its own")
        options["negative_label"] = task.negative_label
    if task.main_metric:
        options["main"] = task.main_metric
    try:
        return metrics.load(name, **options)
    except UserError as error:
        raise UserError(*(f"task '{task.name}': {message}" for message in error.messages)) from error


def check_references(task: Task, data: Data, metric: Any) -> None:
    """Refuses a metric that cannot score the references of the task: SemEval's, say, knows its own relations alone.

    Raises:
        UserError: names the first that it does not take.
    """
    if not isinstance(metric, metrics.Metric):
        return  # what a metric of the hub takes, only computing it tells
    for split in ("validation", "test"):
        for reference in KINDS[task.kind].references(data.splits[split]):
            if problem := metric.problem(reference):
                raise UserError(
                    f"task '{task.name}': metric '{metric.name}' does not take {reference!r} of {split}: {problem}"
                )


def check_fit(setting: Setting, name: str, options: Mapping[str, Any], kind: Kind) -> tuple[int, int]:
    """Applies the method to the model's architecture without weights, and counts its parameters.

    Raises:
        UserError: the method cannot be applied to this architecture, with these options.
    """
    with torch.device("meta"):
        skeleton = kind.skeleton(setting)
        task_type = kind.task_type(setting.model.config)
        return count_parameters(make_trainable(skeleton, name, options, task_type))


def head_notes(runs: Iterable[Run]) -> list[str]:
    """One line for each method of a task whose head cannot be kept."""
    notes = [
        f"{run.task.name} · {run.method.label}: the task head starts fresh: {run.method.initial.folder} has one for "
        f"{run.method.initial.content['kind']} with other labels or markers"
        for run in runs
        if run.method.initial and not run.kind.generates and not keeps_head(run.method.initial, run.kind, run.setting)
    ]
    return list(dict.fromkeys(notes))
