"""Runs that learnt nothing: a constant answer, a score that needs no model, a loss that does not fall."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from pydantic import JsonValue

from ..records import Record
from .formatting import score
from .samples import Tests

LEAST_POINTS = 4  # of a loss curve that can be said not to fall


@dataclass(frozen=True)
class Trivial:
    """The best answer that ignores the input, and its score."""

    answer: str
    score: float


def trivial(kind: str, tests: Tests) -> Trivial | None:
    """The commonest label for every example, or for entities no entity; None for kinds without such an answer."""
    try:
        return _trivial(kind, tests)
    except (ValueError, TypeError):  # a metric that does not fit the kind
        return None


def _trivial(kind: str, tests: Tests) -> Trivial | None:
    references = tests.references
    if not references:
        return None
    if kind in ("classification", "multilabel_classification", "relation_extraction"):
        commonest, _ = Counter(map(str, references)).most_common(1)[0]
        answer = f"'{commonest}'"
        value = tests.score([next(r for r in references if str(r) == commonest)] * len(references))
    elif kind == "ner":
        answer, value = "no entity", tests.score([["O"] * len(tags) for tags in references if isinstance(tags, list)])
    else:
        return None
    return None if value is None else Trivial(answer, value)


def collapses(
    record: Record, predictions: Sequence[JsonValue] | None, baseline: Trivial | None, references: Sequence[JsonValue]
) -> list[str]:
    """What shows that the run learnt nothing, one clause each; empty for a model that was not trained."""
    if record.status != "finished" or not record.trainable_parameters or not record.loss_curve:
        return []
    found = []
    constant = None
    if predictions is not None and _constant(references) is None:
        has_choices = record.metric.name == "multiple_choice"
        constant = _constant_choice(record, predictions) if has_choices else _constant(predictions)
    if constant is not None:
        found.append(f"seed {record.seed} predicts {constant} for every example")
    elif baseline is not None and _no_better(record, baseline):
        found.append(
            f"seed {record.seed} scores {score(record.test_score)}, no better than {baseline.answer} for every "
            f"example ({score(baseline.score)})"
        )
    losses = [loss for _, loss in record.loss_curve]
    quarter = max(1, len(losses) // 4)
    if len(losses) >= LEAST_POINTS and fmean(losses[-quarter:]) >= fmean(losses[:quarter]):
        found.append(f"the training loss of seed {record.seed} did not fall")
    return found


def _constant_choice(record: Record, predictions: Sequence[JsonValue]) -> str | None:
    """The same for multiple choice, which predicts two choices for an example: of the one that is scored."""
    scored = 0 if record.main_metric == "accuracy" else 1
    choice = _constant([pair[scored] for pair in predictions if isinstance(pair, list)])
    return None if choice is None else f"choice {choice}"


def _no_better(record: Record, baseline: Trivial) -> bool:
    gain = record.test_score - baseline.score
    return (gain if record.metric.greater_is_better else -gain) <= 0


def _constant(values: Sequence[JsonValue]) -> str | None:
    """The one value that all are, in words; None if they differ, or if there are fewer than two."""
    if len(values) < 2:
        return None
    if all(isinstance(value, list) and set(map(str, value)) <= {"O"} for value in values):
        return "no entity"
    if any(value != values[0] for value in values):
        return None
    return f"'{values[0]}'" if isinstance(values[0], str) else json.dumps(values[0])
