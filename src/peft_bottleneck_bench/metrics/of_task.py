"""The metric of a task, checked against the task before anything is trained."""

from __future__ import annotations

from typing import Any

from eval_tasks import Task

from .. import metrics
from ..data.loading import Data
from ..errors import UserError
from ..kinds import KINDS
from .base import Metric


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
    if not isinstance(metric, Metric):
        return  # what a metric of the hub takes, only computing it tells
    for split in ("validation", "test"):
        for reference in KINDS[task.kind].references(data.splits[split]):
            if problem := metric.problem(reference):
                raise UserError(
                    f"task '{task.name}': metric '{metric.name}' does not take {reference!r} of {split}: {problem}"
                )
