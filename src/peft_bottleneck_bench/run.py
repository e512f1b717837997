"""A run: one task × method × model × seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from .configuration.choices import MethodChoice
from .configuration.search_space import Pruning
from .configuration.training_options import score_relevant
from .data.loading import SPLITS, Data
from .kinds import KINDS, Context, Kind
from .models.base_model import BaseModel
from .models.methods import method_named
from .processes import count
from .records import Counts, DataUsed
from .saved.initial import identity as initial_identity
from .tasks import Task

# Part of every run's hash: a change of this harness that changes scores raises it.
PROTOCOL = 1


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """The frozen blocks of a run that computes them once for each example.

    Args:
        blocks: how many, from the first.
        of: all blocks.
        width: channels of their hidden states.
        tokens: positions of an example where all have as many, as images do; 0: the tokens of each.
        limit_bytes: of the folder with their outputs.
    """

    blocks: int
    of: int
    width: int
    tokens: int
    limit_bytes: int


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
    context: Context
    trainable_parameters: int
    total_parameters: int
    results: Path
    adapters: Path
    processes: int = field(default_factory=count)  # that train it together
    prefix: Prefix | None = None  # None: every block is computed in every step
    trial: str = ""  # of a search: which one, for people; a final run and one without a search have none
    pruning: Pruning | None = None  # of a trial: what may end it early
    search: Mapping[str, Any] | None = None  # of a final run: what was tried, and which trial gave the settings

    @property
    def kind(self) -> Kind:
        return KINDS[self.task.kind]

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """The complete configuration, with all defaults."""
        center, spread = self.context.center, self.context.spread
        return {
            "protocol": PROTOCOL,
            "task": self.task.name,
            "kind": self.task.kind,
            "data": dict(self.data.identity),
            "columns": {column: str(name) for column, name in self.task.columns.items()},
            "labels": list(self.data.labels),
            "metric": {"name": self.metric.name, **self.metric.options},
            "model": dict(self.model.identity),
            "method": self.method.name,
            "options": {**method_named(self.method.name).defaults, **self.method.options},
            "seed": self.seed,
            "limits": dict(self.limits),
            "max_length": self.context.max_length,
            "prompt": self.context.prompt,
            "markers": list(self.context.markers),
            "generation": dict(self.context.generation),
            **({"class_weights": self.task.class_weights} if self.task.class_weights else {}),
            **({} if (center, spread) == (0.0, 1.0) else {"center": center, "spread": spread}),
            "training": {key: self.training[key] for key in sorted(self.training)},
            **(initial_identity(self.method.initial) if self.method.initial else {}),
            **({"budget": asdict(self.method.budget)} if self.method.budget else {}),
            # Part of the run's identity: the same settings found by more trials are another result.
            **({} if self.search is None else {"search": dict(self.search)}),
            # Processes share each batch: two of batch size 16 train like one of 32, except for dropout.
            **({} if self.processes == 1 else {"processes": self.processes}),
        }

    @cached_property
    def hash(self) -> str:
        """The hash of all settings that decide the score: on one machine, runs that share it give the same score."""
        return run_hash(self.configuration)

    @property
    def place(self) -> Path:
        """The run's path below `results` and `adapters`."""
        return Path(self.task.name, self.model.slug, self.method.label, f"seed{self.seed}-{self.hash}")

    @property
    def record_path(self) -> Path:
        return (self.results / self.place).with_suffix(".json")

    @property
    def adapter_path(self) -> Path:
        return self.adapters / self.place

    @property
    def prefix_folder(self) -> Path:
        """Where the outputs of frozen blocks are, for all runs of a results folder."""
        return Path(f"{self.results}-prefix")

    @property
    def description(self) -> dict[str, Any]:
        """The content of `run.json` beside the saved weights: the configuration, the base model, and the input
        columns of an example.
        """
        example = self.data.splits["train"][0]
        return {
            **self.configuration,
            "model_name": self.model.lasting_name,
            "inputs": [column for column in example if column not in self.kind.predicted],
            **({"thresholds": list(self.context.thresholds)} if self.context.thresholds else {}),
        }

    @property
    def data_record(self) -> DataUsed:
        """The data as the record describes them."""
        return data_used(self.task, self.data)

    def __str__(self) -> str:
        return f"{self.task.name} · {self.method.label} · {self.model.slug} · {self.trial or f'seed {self.seed}'}"


def data_used(task: Task, data: Data) -> DataUsed:
    """The data of a task as a record describes them."""
    identity = data.identity
    hub = "hub" in identity
    files = ", ".join(identity[split]["file"] for split in SPLITS if not hub)
    return DataUsed(
        source=identity["hub"] if hub else task.source or files,
        revision=identity["revision"] if hub else None,
        sha256=None if hub else hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest(),
        licence=task.licence or None,
        counts=Counts(**data.counts),
        notes=data.notes,
    )


def run_hash(configuration: Mapping[str, Any]) -> str:
    """The hash of a run with this resolved configuration."""
    decisive = {**configuration, "training": score_relevant(configuration.get("training", {}))}
    decisive.pop("budget", None)  # the options hold its choice
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:10]
