"""Metrics by name: the package's own, or any of the Hugging Face Hub's."""

from __future__ import annotations

from typing import Any

from ..errors import UserError, suggest
from .base import Metric
from .classification import Classification
from .hub import HubMetric
from .regression import Regression
from .relation_extraction import RelationExtraction
from .semeval2010_task8 import Semeval2010Task8
from .seqeval import Seqeval
from .summarization import Summarization
from .translation import Translation

METRICS: dict[str, type[Metric]] = {
    "classification": Classification,
    "regression": Regression,
    "seqeval": Seqeval,
    "relation_extraction": RelationExtraction,
    "semeval2010_task8": Semeval2010Task8,
    "translation": Translation,
    "summarization": Summarization,
}


def load(name: str, **options: Any) -> Metric | HubMetric:
    """The metric called `name`.

    Args:
        name: one of `METRICS`, or else a metric of the Hub: `"bertscore"`, `"someone/their_metric"`.
        options: arguments of the metric's class, such as `main="macro_f1"`.

    Raises:
        UserError: there is no such metric, or it cannot be loaded; names the choices.
    """
    metric = METRICS.get(name)
    if metric is None:
        try:
            return HubMetric(name, **options)
        except (OSError, ImportError) as error:
            raise UserError(
                f"metric '{name}' is not one of the package's ({suggest(name, METRICS)}) "
                f"and the Hub gave none: {str(error).splitlines()[0]}"
            ) from error
    try:
        return metric(**options)
    except TypeError as error:
        raise UserError(f"metric '{name}': {str(error).partition('() ')[2]}") from error
