"""The runs of a grid, each checked before any of them starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..configuration.choices import Configuration, MethodChoice
from ..configuration.training_options import REUSE
from ..data.loading import Data, load_data
from ..errors import UserError
from ..hardware import has_bf16
from ..kinds import KINDS
from ..models.base_model import BaseModel
from ..models.methods import method_named
from ..processes import count
from ..run import Run
from ..saved.initial import check_initial, keeps_head
from ..tasks import Task
from .fit import check_fit
from .parameter_budget import at_budget
from .prefix import prefix_of
from .task_setup import check_references, make_context, metric_of


def plan(configuration: Configuration) -> list[Run]:
    """All runs of the grid, in the order tasks, models, methods, seeds.

    Reads all data, and tries every method on every model (without weights), so that errors of the user show before
    the first run.

    Raises:
        UserError: one message for everything that is wrong.
    """
    errors: list[UserError] = []

    def attempt(action: Any, *arguments: object) -> Any:
        try:
            return action(*arguments)
        except UserError as error:
            errors.append(error)
            return None

    models = [
        model
        for choice in configuration.models
        if (
            model := attempt(
                BaseModel.named, choice.name, configuration.quantization, choice.label, configuration.dtype
            )
        )
    ]
    runs: list[Run] = []
    for task in configuration.tasks:
        metric = attempt(metric_of, task)
        data = attempt(load_data, task, KINDS[task.kind], configuration.limits)
        if metric is None or data is None:
            continue
        kind = KINDS[task.kind]
        references = [text for split in ("validation", "test") for text in kind.references(data.splits[split])]
        metric = metric_of(task, references)
        attempt(check_references, task, data, metric)
        for model in models:
            runs += attempt(_runs_of, configuration, task, data, metric, model) or ()
    if errors:
        raise UserError.collect(errors)
    return runs


def _runs_of(configuration: Configuration, task: Task, data: Data, metric: object, model: BaseModel) -> list[Run]:
    """The runs of one task on one model, after trying every method on it."""
    kind = KINDS[task.kind]
    kind.check_model(model)
    if model.quantization:
        model.quantised_loading(kind.auto_class(model.config))
    runs = [_checked_run(configuration, task, data, metric, model, method) for method in configuration.methods]
    kind.check_weights(runs[0].context)
    return [replace(run, seed=seed) for run in runs for seed in configuration.seeds]


def with_method(configuration: Configuration, run: Run, method: MethodChoice) -> Run:
    """`run` with another method or other options, tried on the model.

    Raises:
        UserError: the method does not fit.
    """
    return _checked_run(configuration, run.task, run.data, run.metric, run.model, method)


def _checked_run(
    configuration: Configuration, task: Task, data: Data, metric: object, model: BaseModel, method: MethodChoice
) -> Run:
    """The run of one method with the first seed, after trying the method on the model."""
    kind = KINDS[task.kind]
    if model.quantization and not method_named(method.name).by_peft:
        raise UserError(f"method '{method.label}' has no adapter, and a quantised base trains with adapters only")
    training = {
        "learning_rate": method_named(method.name).learning_rate,
        "warmup_steps": method_named(method.name).warmup_steps,
        **_precision(configuration.precision),
        **({REUSE: True} if configuration.reuse_frozen_prefix else {}),
        **configuration.training,
        **method.training,
    }
    if not training.get(REUSE):
        training.pop(REUSE, None)  # the same run as one of a configuration that says nothing of it
    if model.is_half:
        _check_half(model.dtype, method, training)
    context = make_context(task, data, model, configuration.max_length, training)
    if configuration.budget:
        method = at_budget(method, configuration.budget, context, kind)
    trainable, total = check_fit(context, method.name, method.options, kind)
    if method.initial:
        check_initial(method.initial, method.name, method.options, kind, context)
    prefix = prefix_of(context, method.name, method.options, kind, training, configuration.prefix_limit_gib)
    return Run(
        task=task,
        data=data,
        metric=metric,
        model=model,
        method=method,
        seed=configuration.seeds[0],
        training=training,
        limits=configuration.limits,
        context=context,
        trainable_parameters=trainable,
        total_parameters=total,
        results=configuration.results,
        adapters=configuration.adapters,
        processes=max(count(), configuration.resources.processes),
        prefix=prefix,
    )


def _precision(name: str) -> dict[str, bool]:
    """The field of `TrainingArguments` for a precision; `auto` is bf16 where the hardware has it."""
    if name == "auto":
        name = "bf16" if has_bf16() else "fp32"
    return {} if name == "fp32" else {name: True}


def _check_half(dtype: str, method: MethodChoice, training: Mapping[str, object]) -> None:
    """Refuses what cannot be trained on a base of 16 bits.

    Raises:
        UserError: the method trains the base itself, or the computation has another type.
    """
    if method_named(method.name).changes_base:
        raise UserError(f"method '{method.label}' trains the base itself, and dtype: {dtype} is for a frozen base")
    field = {"bfloat16": "bf16", "float16": "fp16"}[dtype]
    if not training.get(field):
        raise UserError(
            f"method '{method.label}': dtype: {dtype} needs computations of that type: set `precision: {field}`"
        )


def data_notes(runs: Iterable[Run]) -> list[str]:
    """Notes on the data of each task."""
    notes = [f"{run.task.name}: {note}" for run in runs for note in run.data.notes]
    return list(dict.fromkeys(notes))


def head_notes(runs: Iterable[Run]) -> list[str]:
    """One line for each method of a task whose head cannot be kept."""
    notes = [
        f"{run.task.name} · {run.method.label}: the task head starts fresh: {run.method.initial.place} has one for "
        f"{run.method.initial.content.kind} with other labels or markers"
        for run in runs
        if run.method.initial and run.kind.fresh_head and not keeps_head(run.method.initial, run.kind, run.context)
    ]
    return list(dict.fromkeys(notes))
