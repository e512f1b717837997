"""Metrics by name: the package's own, or any of the Hugging Face Hub's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from inspect import signature
from typing import Any, ClassVar

from ..errors import UserError, first_line, suggest
from ..value_types import fits, words
from .base import Metric
from .hub import HubMetric


class _Metrics(Mapping[str, type[Metric]]):
    """The package's metrics by name. Each is imported with its scorer when it is asked for."""

    _classes: ClassVar[dict[str, str]] = {
        "classification": "classification.Classification",
        "regression": "regression.Regression",
        "seqeval": "seqeval.Seqeval",
        "relation_extraction": "relation_extraction.RelationExtraction",
        "semeval2010_task8": "semeval2010_task8.Semeval2010Task8",
        "multilabel": "multilabel.Multilabel",
        "translation": "translation.Translation",
        "summarization": "summarization.Summarization",
        "multiple_choice": "multiple_choice.MultipleChoice",
        "answer": "answers.Answer",
        "number": "answers.Number",
        "choice": "answers.Choice",
    }

    def __getitem__(self, name: str) -> type[Metric]:
        module, _, class_name = self._classes[name].partition(".")
        try:
            metric: type[Metric] = getattr(import_module(f".{module}", __package__), class_name)
        except ImportError as error:
            raise UserError(
                f"metric '{name}' needs the package '{error.name}', which is not installed: "
                f"`pip install {(error.name or '').replace('_', '-')}`"
            ) from error
        return metric

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)


METRICS = _Metrics()


def load(name: str, **options: Any) -> Metric | HubMetric:
    """The metric called `name`.

    Args:
        name: one of `METRICS`, or else a metric of the Hub: `"bertscore"`, `"someone/their_metric"`.
        options: arguments of the metric's class, such as `main="macro_f1"`.

    Raises:
        UserError: there is no such metric, or it cannot be loaded; names the choices.
    """
    if name not in METRICS:
        try:
            return HubMetric(name, **options)
        except UserError:
            raise
        except Exception as error:  # code of the Hub, and the network, raise what they like
            raise UserError(
                f"metric '{name}' is not one of the package's ({suggest(name, METRICS)}) "
                f"and the Hub gave none: {first_line(error)}"
            ) from error
    kind = METRICS[name]
    known = {option: each.annotation for option, each in signature(kind, eval_str=True).parameters.items()}
    if wrong := [
        f"metric '{name}': unknown option '{option}': {suggest(str(option), known)}"
        if option not in known
        else f"metric '{name}': {option}: expected {words(known[option])}, found {value!r}"
        for option, value in options.items()
        if option not in known or not fits(value, known[option])
    ]:
        raise UserError(*wrong)
    return kind(**options)
