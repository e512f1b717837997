"""The content of a record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, Field, JsonValue, PlainSerializer, model_validator
from pydantic_core import from_json
from typing_extensions import Self

from ..file_names import FileName
from ..tasks import KindName

SCHEMA_VERSION: Final = 1
#: No honest score or time comes near. Sums and squares of such numbers are still numbers.
LARGEST = 1e15
#: Of the processors' time: what other processes may use before a training time is left out of tables.
SHARED: Final = 0.1
COSTS_FILE: Final = "costs.json"  # beside records, and none of them
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def _from_text(value: object) -> object:
    return from_json(value) if isinstance(value, str) else value


def _to_text(value: Mapping[str, JsonValue]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _to_time(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return datetime.strptime(value, TIME_FORMAT).replace(tzinfo=timezone.utc)
    except ValueError:
        raise ValueError("expected UTC as in 2026-01-31T12:00:00Z") from None


def _from_time(value: datetime) -> str:
    return value.strftime(TIME_FORMAT)


Name = Annotated[str, Field(min_length=1, max_length=255)]
Count = Annotated[int, Field(ge=0, lt=2**63)]  # int64 in Arrow
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Curve = Annotated[tuple[Annotated[tuple[Count, Number], Field(strict=False)], ...], Field(strict=False)]
#: The content of a `Curve`.
Points = Sequence[tuple[int, float]]
#: A mapping of any shape. In the file it is JSON text, because Arrow needs one type per field.
FreeForm = Annotated[
    Mapping[str, JsonValue], BeforeValidator(_from_text), PlainSerializer(_to_text, str, when_used="json")
]
#: A moment in UTC, to the second.
Moment = Annotated[datetime, BeforeValidator(_to_time), PlainSerializer(_from_time, str, when_used="json")]


class Part(BaseModel, frozen=True, strict=True, extra="forbid", allow_inf_nan=False):
    """Every field has the right type, is finite, and is known."""


class MetricUsed(Part, frozen=True):
    """The metric, and how it computes its scores."""

    name: Name
    options: FreeForm
    signature: str
    greater_is_better: bool


class Scores(Part, frozen=True):
    """The scores of each split by name."""

    validation: Mapping[str, Number] = {}
    test: Mapping[str, Number] = {}


class ReportRow(Part, frozen=True):
    """One class or entity type on the test split."""

    label: str
    precision: Number
    recall: Number
    f1: Number
    support: Count


class Counts(Part, frozen=True):
    """Examples per split."""

    train: Count
    validation: Count
    test: Count


class DataUsed(Part, frozen=True):
    """The data set, and what identifies its content."""

    source: str
    revision: str | None = None
    sha256: str | None = None
    licence: str | None = None
    counts: Counts
    notes: Annotated[tuple[str, ...], Field(strict=False)] = Field((), description="notes on unusual examples")

    @property
    def identity(self) -> tuple[str, str | None, str | None, Counts]:
        """The fields that records of the same data share."""
        return self.source, self.revision, self.sha256, self.counts


class Hardware(Part, frozen=True):
    """The machine, as far as time and memory depend on it."""

    device: str
    processor: str
    cores: Count
    memory_bytes: Count
    platform: str


class Record(Part, frozen=True):
    """One run. A field that may be None is None where the value is not known; a finished run knows its costs."""

    schema_version: Literal[1]
    status: Literal["finished", "failed"]
    reason: str | None = Field(None, description="why the run failed")
    run: Name = Field(description="short hash of the resolved configuration")
    task: Name
    kind: KindName
    method: Name = Field(description="the label under which the run is compared")
    model: Name
    seed: Count
    main_metric: Name
    metric: MetricUsed
    metrics: Scores = Scores()
    report: Annotated[tuple[ReportRow, ...], Field(strict=False)] = ()
    trainable_parameters: Count | None = None
    total_parameters: Count | None = None
    train_steps: Count | None = Field(None, description="optimiser steps that were taken")
    train_seconds: Number | None = Field(None, description="without evaluation")
    train_examples_per_second: Number | None = None
    others_cpu_share: Number | None = Field(
        None, description="of the processors' time during training, what other processes used"
    )
    peak_memory_bytes: Count | None = None
    adapter_bytes: Count | None = None
    loss_curve: Curve = Field((), description="[step, training loss]")
    validation_curve: Curve = Field(
        (), description="[step, main metric]; of a failed run: a pruner ended this trial of a search"
    )
    best_step: Count | None = None
    configuration: FreeForm = Field(description="resolved")
    data: DataUsed
    versions: Mapping[str, str] = Field(description="package -> version")
    commit: str | None = None
    hardware: Hardware
    determinism: str = Field(description="what is promised, and what cannot be")
    started: Moment
    finished: Moment
    predictions: FileName | None = Field(None, description="a file in the record's folder")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.status == "failed":
            if not self.reason:
                raise ValueError(f"reason is {self.reason!r}: a failed run gives its reason")
            return self
        costs = ("trainable_parameters", "total_parameters", "train_seconds", "peak_memory_bytes", "adapter_bytes")
        for name in costs:
            if getattr(self, name) is None:
                raise ValueError(f"{name} is None: a finished run knows it")
        for split, scores in (("validation", self.metrics.validation), ("test", self.metrics.test)):
            if self.main_metric not in scores:
                raise ValueError(
                    f"metrics.{split} lacks the main metric '{self.main_metric}': it has {', '.join(scores)}"
                )
        return self

    @property
    def test_score(self) -> float:
        """The main score on the test split.

        Raises:
            KeyError: the run failed.
        """
        return self.metrics.test[self.main_metric]

    @property
    def validation_score(self) -> float:
        """The main score on the validation split, which chose the best step.

        Raises:
            KeyError: the run failed.
        """
        return self.metrics.validation[self.main_metric]

    @property
    def pruned(self) -> bool:
        """Whether the run is a trial that a pruner ended."""
        return self.status == "failed" and bool(self.validation_curve)

    @property
    def shared_machine(self) -> bool:
        """Whether other processes used so much of the processors that the training time says little."""
        return (self.others_cpu_share or 0.0) > SHARED

    def replace(self, **fields: object) -> Record:
        """A copy with other values in `fields`.

        Raises:
            ValueError: the copy is not a valid record.
        """
        return Record(**{**dict(self), **fields})
