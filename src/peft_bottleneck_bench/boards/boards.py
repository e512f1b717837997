"""Records sorted into boards: one per task and model, with one row per method."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from pydantic import JsonValue

from ..configuration.training_options import score_relevant
from ..metrics import METRICS, Score
from ..records import Record
from ..records.costs import Cost, Costs
from ..records.schema import SHARED
from ..statistics import Ranking, Sample, Standing, mean_and_std, rank
from .collapses import Trivial, collapses, trivial
from .facts import facts
from .samples import NotComparable, Tests, read_tests, samples

Runs = Mapping[Path, Record]


@dataclass
class Row:
    """One method on one board.

    Args:
        runs: its records by path, one per seed, in the order of the seeds.
        problem: why it is incomplete, and therefore not ranked; None if it is not.
        standing: mean and spread of the finished runs; None if there is none.
        collapses: signs that a run learnt nothing.
        cost: its times on a quiet machine, if they were measured.
    """

    method: str
    runs: dict[Path, Record]
    problem: str | None = None
    standing: Standing | None = None
    collapses: list[str] = field(default_factory=list)
    cost: Cost | None = None

    @property
    def finished(self) -> dict[Path, Record]:
        return {path: record for path, record in self.runs.items() if record.status == "finished"}

    def largest(self, cost: Callable[[Record], int | None]) -> int | None:
        """The greatest `cost` over the finished runs."""
        return max((value for record in self.finished.values() if (value := cost(record)) is not None), default=None)

    @property
    def shared_machine(self) -> bool:
        """Whether other processes used the processors while a run trained: its time then says little."""
        return any(record.shared_machine for record in self.finished.values())

    @property
    def train_seconds(self) -> float | None:
        """The mean over the finished runs; None where one of them shared its machine."""
        if self.shared_machine:
            return None
        seconds = [record.train_seconds for record in self.finished.values() if record.train_seconds is not None]
        return fmean(seconds) if seconds else None


@dataclass
class Board:
    """All runs that may be compared: one task, model, data and metric.

    Args:
        record: any of its runs, for the fields that all share.
        rows: the ranked ones by rank, then the others by score, then the incomplete ones by name.
        ranking: None where no method could be ranked.
        baseline: the best score without a model; None where there is none.
        notes: facts that a reader of the board must know, one sentence each.
    """

    title: str
    record: Record
    rows: list[Row]
    ranking: Ranking | None = None
    baseline: Trivial | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def main_metric(self) -> str:
        return self.record.main_metric

    @property
    def greater_is_better(self) -> bool:
        return self.record.metric.greater_is_better

    @property
    def score(self) -> Score | None:
        """The main score's name and range; None for one of a metric of the Hub."""
        metric = METRICS.get(self.record.metric.name)
        scores = metric.scores if metric is not None else ()
        return next((score for score in scores if score.name == self.main_metric), None)

    @property
    def seeds(self) -> list[int]:
        return sorted({record.seed for row in self.rows for record in row.runs.values()})


def boards(runs: Runs, costs: Costs | None = None) -> list[Board]:
    """All boards of `runs`, by task and model. Runs on other data or by another metric have a board of their own.

    Args:
        costs: the times of methods, measured apart from the runs.
    """
    groups = _grouped(runs, _board_key)
    titles = Counter(_title(next(iter(group.values()))) for group in groups.values())
    found = []
    for key in sorted(groups):
        board = _board(groups[key])
        if titles[board.title] > 1:
            counts = " / ".join(str(count) for _, count in board.record.data.counts)
            board.title += f" · {counts} examples, {board.main_metric}"
        if costs is not None:
            _add_costs(board, costs)
        found.append(board)
    return found


def _add_costs(board: Board, costs: Costs) -> None:
    if costs.others_cpu_share > SHARED:
        board.notes.append("The measured costs are not shown: other processes used the machine meanwhile.")
        return
    for row in board.rows:
        record = next(iter(row.runs.values()))
        row.cost = costs.of(record.task, record.model, record.method)
    if any(row.cost for row in board.rows):
        hardware = costs.hardware
        board.notes.append(
            f"Training step (batch of {costs.train_batch_size}), one input and batch of {costs.batch_size}: medians "
            f"of {costs.turns} turns, measured apart from the runs ({hardware.device}, {hardware.processor}, "
            f"{costs.threads} threads)."
        )


def _board_key(record: Record) -> str:
    metric = (record.main_metric, record.metric.name, record.metric.options)
    return json.dumps([record.task, record.model, record.kind, *metric, str(record.data.identity)])


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
    for row in board.rows:
        row.problem = _problem(row, board.seeds)
        scores = [record.test_score for record in row.finished.values()]
        row.standing = Standing(*mean_and_std(scores)) if scores else None
    tests = read_tests({path: record for row in board.rows for path, record in row.finished.items()})
    board.baseline = trivial(record.kind, tests)
    for row in board.rows:
        for path, run in row.finished.items():
            row.collapses += collapses(run, tests.predictions.get(path), board.baseline, tests.references)
    _rank(board, tests)
    order = list(board.ranking.standings) if board.ranking else []
    board.rows.sort(key=lambda row: (_place(row, order, board.greater_is_better), row.method))
    board.notes += facts({row.method: row.runs for row in board.rows}, ranked=board.ranking is not None)
    return board


def _place(row: Row, order: list[str], greater_is_better: bool) -> tuple[int, float]:
    if row.method in order:
        return 0, order.index(row.method)
    if row.problem is None and row.standing is not None:
        return 1, -row.standing.mean if greater_is_better else row.standing.mean
    return 2, 0.0


def _rows(runs: Runs) -> list[Row]:
    variants = list(_grouped(runs, _variant_key).values())
    methods = _labels([next(iter(variant.values())) for variant in variants])
    return [Row(method, _one_per_seed(variant)) for method, variant in zip(methods, variants, strict=True)]


def _variant_key(record: Record) -> str:
    """The key that runs of one method share if they differ in seed alone."""
    return json.dumps([record.method, _settings(record)], sort_keys=True)


def _labels(variants: Sequence[Record]) -> list[str]:
    """The method of each variant; where several share one, with the settings that differ."""
    settings = [dict(_flat(_settings(record))) for record in variants]
    by_method: dict[str, list[dict[str, str]]] = defaultdict(list)
    for record, own in zip(variants, settings, strict=True):
        by_method[record.method].append(own)
    return [
        _label(record.method, own, by_method[record.method]) for record, own in zip(variants, settings, strict=True)
    ]


def _label(method: str, own: Mapping[str, str], namesakes: Sequence[Mapping[str, str]]) -> str:
    names = sorted({name for other in namesakes for name in other})
    telling = [name for name in names if len({other.get(name) for other in namesakes}) > 1]
    shown = ", ".join(f"{name.rpartition('.')[2]} {own.get(name, 'unset')}" for name in telling)
    return f"{method} ({shown})" if shown else method


def _settings(record: Record) -> dict[str, JsonValue]:
    """The configuration without the seed and without settings that affect only speed."""
    settings = {key: value for key, value in record.configuration.items() if key != "seed"}
    training = settings.get("training")
    if isinstance(training, dict):
        settings["training"] = dict(score_relevant(training))
    return settings


def _flat(value: JsonValue | Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and their values as text."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)


def _one_per_seed(runs: Runs) -> dict[Path, Record]:
    """Of several runs with one seed the one that finished, and of several such the last."""
    merit = {path: (record.status == "finished", record.finished) for path, record in runs.items()}
    chosen = {runs[path].seed: path for path in sorted(runs, key=merit.__getitem__)}
    return {chosen[seed]: runs[chosen[seed]] for seed in sorted(chosen)}


def _problem(row: Row, seeds: list[int]) -> str | None:
    failed = [record for record in row.runs.values() if record.status == "failed"]
    findings = [f"seed {record.seed} failed: {record.reason}" for record in failed]
    if missing := sorted(set(seeds) - {record.seed for record in row.runs.values()}):
        findings.append(f"no run with seed {', '.join(map(str, missing))}")
    return "; ".join(findings) or None


def _rank(board: Board, tests: Tests) -> None:
    """Gives every complete row its full standing, or the board a note why none has one."""
    complete = [row for row in board.rows if row.problem is None]
    if not complete:
        return
    try:
        board.ranking = rank_on(board, samples({row.method: row.runs for row in complete}, tests))
    except NotComparable as error:
        board.notes.append(f"Not ranked: {error}. The means are sorted, and say nothing of chance.")
        return
    for row in complete:
        row.standing = board.ranking.standings[row.method]


def rank_on(board: Board, drawn: Mapping[str, Sample]) -> Ranking:
    """The ranking of samples by a board's metric."""
    limits = board.score.limits if board.score else (-math.inf, math.inf)
    return rank(drawn, greater_is_better=board.greater_is_better, limits=limits)
