"""Metrics as `evaluate.Metric` modules inside the package: no network, no remote code.

Each gives the scores of its field's official scorer, names the main one, and counts what each example contributes to
it, so that resampling the examples is one matrix product:

    metric = load("classification")
    metric.compute(references=["yes", "no", "no"], predictions=["yes", "no", "yes"])
    counts = metric.statistics(["yes", "no", "no"], ["yes", "no", "yes"])  # [examples, k]
    metric.score(weights @ counts)  # [resamples], for weights [resamples, examples]
"""

from .base import FloatArray, Metric, Score
from .hub import HubMetric
from .loading import METRICS, load

__all__ = ["METRICS", "FloatArray", "HubMetric", "Metric", "Score", "load"]
