"""The parts of a task besides its data: its metric, and its kind's context for a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .. import metrics
from ..data.loading import Data
from ..errors import UserError
from ..kinds import KINDS, Context, Kind
from ..kinds.relation_extraction import marker_words
from ..metrics import METRICS, HubMetric, Metric
from ..models.base_model import BaseModel
from ..tasks import Task


def metric_of(task: Task, references: Sequence[object] = ()) -> Metric | HubMetric:
    """The metric that judges `task`; `references` choose the options that the task leaves open.

    Raises:
        UserError: there is none of this name, it is of another kind, or it has no such score or option.
    """
    kind = KINDS[task.kind]
    name, main = _named(task.metric, kind) if task.metric else (kind.metrics[0], "")
    options = dict(task.metric_options)
    if name in METRICS:
        if name not in kind.metrics:
            raise UserError(
                f"task '{task.name}': metric '{name}' does not score {kind.name}: choose from "
                f"{', '.join(kind.metrics)}, or a metric of the Hub"
            )
        if references:
            options = {**METRICS[name].defaults(references), **options}
    if task.negative_label:
        if name != "relation_extraction":
            raise UserError(f"task '{task.name}': negative_label: metric '{name}' takes none, it has rules of its own")
        options["negative_label"] = task.negative_label
    if main := task.main_metric or main:
        options["main"] = main
    try:
        return metrics.load(name, **options)
    except UserError as error:
        raise UserError(*(f"task '{task.name}': {message}" for message in error.messages)) from error


def _named(name: str, kind: Kind) -> tuple[str, str]:
    """The metric called `name`; or the one of the kind's metrics that has a score of this name, and the score."""
    for metric in kind.metrics if name not in METRICS else ():
        if name in (score.name for score in METRICS[metric].scores):
            return metric, name
    return name, ""


def check_references(task: Task, data: Data, metric: Metric | HubMetric) -> None:
    """Refuses a metric that cannot score the references of the task: SemEval's knows its own relations alone.

    Raises:
        UserError: names the first that it does not take.
    """
    if not isinstance(metric, Metric):
        return  # a metric of the hub shows only in computation which values it takes
    for split in ("validation", "test"):
        for reference in KINDS[task.kind].references(data.splits[split]):
            if problem := metric.problem(reference, reference=True):
                raise UserError(
                    f"task '{task.name}': metric '{metric.name}' does not take {reference!r} of {split}: {problem}"
                )


def make_context(
    task: Task, data: Data, model: BaseModel, max_length: int | None, training: Mapping[str, Any]
) -> Context:
    """The kind's context for the runs of `task` on `model`."""
    kind = KINDS[task.kind]
    markers: tuple[str, ...] = ()
    generation: dict[str, Any] = {}
    prompt = kind.prompt_for(task, model.config)
    if kind.generates or prompt:
        generation = {
            "max_new_tokens": training["generation_max_length"],
            "num_beams": training["generation_num_beams"],
            "do_sample": False,
        }
    if task.kind == "relation_extraction":
        markers = marker_words(data.splits["train"], typed=task.markers == "typed")
        if task.markers == "typed" and len(markers) == len(marker_words([], typed=False)):
            raise UserError(f"task '{task.name}': markers: typed: no entity has a type")
    weights: tuple[float, ...] = ()
    if task.class_weights:
        train = data.splits["train"]
        counts = Counter(name for example in train for name in kind.labels_of(example))
        weights = kind.class_weights(counts, len(train), data.labels)
    try:
        center, spread = kind.scale(data.splits["train"])
    except ValueError as error:
        raise UserError(f"task '{task.name}': {error}") from error
    return Context(
        model=model,
        labels=data.labels,
        max_length=model.input_length(max_length, generation.get("max_new_tokens", 0)) if kind.reads_text else 0,
        prompt=prompt,
        markers=markers,
        generation=generation,
        class_weights=weights,
        center=center,
        spread=spread,
    )
