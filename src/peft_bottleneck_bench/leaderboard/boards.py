"""Records sorted into boards: one per task and model, with one row per method."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from ..metrics import METRICS, Score
from ..records import Record
from ..statistics import Ranking, Sample, Standing, mean_and_std, rank
from .samples import NotComparable, samples
from .variants import labels, variant_key

Runs = Mapping[Path, Record]


@dataclass
class Row:
    """One method on one board.

    Args:
        runs: its records by path, one per seed, in the order of the seeds.
        problem: why it is incomplete, and therefore not ranked; None if it is not.
        standing: mean and spread of the finished runs; None if there is none.
    """

    method: str
    runs: dict[Path, Record]
    problem: str | None = None
    standing: Standing | None = None

    @property
    def finished(self) -> dict[Path, Record]:
        return {path: record for path, record in self.runs.items() if record.status == "finished"}

    def largest(self, name: str) -> int | None:
        """The greatest value of the field `name` over the finished runs."""
        return max((getattr(record, name) for record in self.finished.values()), default=None)

    @property
    def train_seconds(self) -> float | None:
        """The mean over the finished runs."""
        seconds = [record.train_seconds for record in self.finished.values() if record.train_seconds is not None]
        return fmean(seconds) if seconds else None


@dataclass
class Board:
    """All runs that may be compared: one task, model, data and metric.

    Args:
        record: any of its runs, for what they have in common.
        rows: the ranked ones by rank, then the others by name.
        ranking: None where no method could be ranked.
        notes: what a reader must know to read the board, one sentence each.
    """

    title: str
    record: Record
    rows: list[Row]
    ranking: Ranking | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def main_metric(self) -> str:
        return self.record.main_metric

    @property
    def greater_is_better(self) -> bool:
        return self.record.metric.greater_is_better

    @property
    def score(self) -> Score | None:
        """What is known of the main score; None for one of a metric of the hub."""
        metric = METRICS.get(self.record.metric.name)
        scores = metric.scores if metric is not None else ()
        return next((score for score in scores if score.name == self.main_metric), None)


def boards(runs: Runs) -> list[Board]:
    """All boards of `runs`, by task and model. Runs on other data or by another metric have a board of their own."""
    groups = _grouped(runs, _board_key)
    titles = Counter(_title(next(iter(group.values()))) for group in groups.values())
    found = []
    for key in sorted(groups):
        board = _board(groups[key])
        if titles[board.title] > 1:
            counts = " / ".join(str(count) for _, count in board.record.data.counts)
            board.title += f" · {counts} examples, {board.main_metric}"
        found.append(board)
    return found


def _board_key(record: Record) -> str:
    metric = (record.main_metric, record.metric.name, record.metric.options)
    return json.dumps([record.task, record.model, record.kind, *metric, record.data.model_dump()])


def _title(record: Record) -> str:
    return f"{record.task} · {record.model}"


def _grouped(runs: Runs, key: Callable[[Record], str]) -> dict[str, dict[Path, Record]]:
    groups: dict[str, dict[Path, Record]] = defaultdict(dict)
    for path, record in runs.items():
        groups[key(record)][path] = record
    return groups


def _board(runs: Runs) -> Board:
    record = next(iter(runs.values()))
    board = Board(_title(record), record, _rows(runs))
    seeds = {record.seed for record in runs.values()}
    for row in board.rows:
        row.problem = _problem(row, seeds)
        scores = [record.test_score for record in row.finished.values()]
        row.standing = Standing(*mean_and_std(scores)) if scores else None
    _rank(board)
    order = list(board.ranking.standings) if board.ranking else []
    board.rows.sort(key=lambda row: (order.index(row.method) if row.method in order else len(order), row.method))
    board.notes += _notes(board, len(seeds))
    return board


def _rows(runs: Runs) -> list[Row]:
    variants = list(_grouped(runs, variant_key).values())
    methods = labels([next(iter(variant.values())) for variant in variants])
    return [Row(method, _one_per_seed(variant)) for method, variant in zip(methods, variants, strict=True)]


def _one_per_seed(runs: Runs) -> dict[Path, Record]:
    """Of several runs with one seed the one that finished, and of several such the last."""
    merit = {path: (record.status == "finished", record.finished) for path, record in runs.items()}
    chosen = {runs[path].seed: path for path in sorted(runs, key=merit.__getitem__)}
    return {chosen[seed]: runs[chosen[seed]] for seed in sorted(chosen)}


def _problem(row: Row, seeds: set[int]) -> str | None:
    failed = [record for record in row.runs.values() if record.status == "failed"]
    findings = [f"seed {record.seed} failed: {record.reason}" for record in failed]
    if missing := sorted(seeds - {record.seed for record in row.runs.values()}):
        findings.append(f"no run with seed {', '.join(map(str, missing))}")
    return "; ".join(findings) or None


def _rank(board: Board) -> None:
    """Gives every complete row its full standing, or the board a note why none has one."""
    complete = [row for row in board.rows if row.problem is None]
    if not complete:
        return
    try:
        drawn = samples({row.method: row.runs for row in complete})
    except NotComparable as error:
        board.notes.append(f"Not ranked: {error}.")
        return
    board.ranking = rank_on(board, drawn)
    for row in complete:
        row.standing = board.ranking.standings[row.method]


def rank_on(board: Board, drawn: Mapping[str, Sample]) -> Ranking:
    """The ranking of samples by a board's metric."""
    limits = board.score.limits if board.score else (-math.inf, math.inf)
    return rank(drawn, greater_is_better=board.greater_is_better, limits=limits)


def _notes(board: Board, seeds: int) -> list[str]:
    notes = []
    if board.ranking and seeds == 1:
        notes.append("One seed per method: another training run may order them otherwise.")
    machines = {record.hardware for row in board.rows for record in row.runs.values()}
    if len(machines) > 1:
        notes.append("Times and memory were taken on different machines; compare them with care.")
    return notes
