"""A run configuration once it is read: models, tasks, methods, seeds, and common settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..saved.saved import Saved
from ..tasks import Task
from .search_space import Budget, Space


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """One entry of `model`: where the model is, and its name in records and paths."""

    name: str
    label: str


@dataclass(frozen=True, kw_only=True)
class ParameterBudget:
    """How many parameters every method may train beside the task head: a number, or a share of those of the base."""

    parameters: int = 0
    share: float = 0.0

    def of(self, base: int) -> int:
        """The number, for a base of `base` parameters."""
        return self.parameters or round(self.share * base)


@dataclass(frozen=True, kw_only=True)
class AtBudget:
    """The size that a budget gives to a method on a model.

    Args:
        asked: parameters of the budget.
        found: those that the method trains beside the head.
        size: what was chosen for the method's size option; None where the method has none.
        met: whether `found` is near `asked`.
    """

    asked: int
    found: int
    size: int | None
    met: bool


@dataclass(frozen=True, kw_only=True)
class MethodChoice:
    """One entry of `methods`: the method, its options, and its own training fields and search."""

    name: str
    label: str
    options: Mapping[str, object]
    training: Mapping[str, object]
    space: Space = field(default_factory=dict)
    initial: Saved | None = None  # the weights that the training starts from
    budget: AtBudget | None = None  # the size that a parameter budget gives to the method, on the model of a run


@dataclass(frozen=True)
class Resources:
    """The share of a cluster's node that a run takes.

    Args:
        cpus: as many threads compute.
        gpus: a share of one, or a number of them.
        processes: that train together, each with a part of every batch, and with a GPU of its own if there are GPUs.
    """

    cpus: float = 1
    gpus: float = 0
    processes: int = 1


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """A grid of runs: tasks × methods × models × seeds. `load_configuration` makes it.

    Args:
        models: base models, with their names on the boards.
        tasks: what is trained on.
        methods: with their options and with fields of training of their own.
        seeds: one run for each.
        limits: the largest number of examples of a split, by its name.
        max_length: tokens of an example; None: what the model and the kind of task give.
        quantization: of the base, `8bit` or `4bit`; None: none.
        training: fields of transformers' `TrainingArguments`.
        search: the trials of each method; None: no search.
        budget: trained parameters of each method; None: what its options give.
        results: the folder of the records.
        adapters: the folder of the trained adapters.
        precision: `fp32`, `bf16` or `fp16`.
        reuse_frozen_prefix: whether the blocks below everything that is trained are computed once for each example.
        prefix_limit_gib: what their outputs may take on disk.
        resources: what a run takes of a cluster's node.
    """

    models: tuple[ModelChoice, ...]
    tasks: tuple[Task, ...]
    methods: tuple[MethodChoice, ...]
    seeds: tuple[int, ...]
    limits: Mapping[str, int]
    max_length: int | None
    quantization: str | None
    training: Mapping[str, object]
    search: Budget | None
    budget: ParameterBudget | None
    results: Path
    adapters: Path
    precision: str = "fp32"
    reuse_frozen_prefix: bool = False
    prefix_limit_gib: float = 20
    dtype: str = "auto"
    resources: Resources = Resources()
