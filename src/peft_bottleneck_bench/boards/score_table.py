"""Tiers for any table of scores: one row per method, task, seed and example."""

from __future__ import annotations

import csv
import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..errors import UserError
from ..statistics import AverageRanks, FloatArray, Ranking, Sample, average_ranks, rank, resampled_scores
from ..words import visible
from . import formatting as show
from .overview import over_tasks
from .verdict import in_words

NEEDED = ("method", "example", "score")
TOTALS = ("method", "correct", "examples")
MOST_EXAMPLES = 1_000_000  # of a total
LARGEST = 1e15
#: method -> seed -> example -> score
Scores = dict[str, dict[str, dict[str, float]]]


class Mean:
    """The metric whose score is the mean over examples."""

    def statistics(self, references: Sequence[object], predictions: Sequence[float]) -> FloatArray:
        """Score and count of each example: [examples, 2]."""
        return np.array([[score, 1.0] for score in predictions])

    def score(self, sums: FloatArray) -> FloatArray:
        """[..., 2] to [...]."""
        means: FloatArray = sums[..., 0] / sums[..., 1]
        return means


@dataclass(frozen=True)
class ScoreBoard:
    """The methods of one task, ranked."""

    task: str
    ranking: Ranking
    examples: int
    seeds: int
    totals: bool = False


@dataclass(frozen=True)
class ScoreTable:
    """What a CSV file holds: scores by task, of examples or made from totals."""

    tasks: Mapping[str, Scores]
    totals: bool


def read_scores(path: Path) -> ScoreTable:
    """The scores of a CSV file by task; without a column `task` or `seed`, all are of one.

    A file has a row per example (`NEEDED`) or per run (`TOTALS`). A total does not say which examples were right,
    so chance deals them out, for each run anew: two methods then vary independently, as the binomial distribution has
    it. Methods on the same examples agree more often than that, so totals separate fewer of them.

    Raises:
        UserError: the file, a column, a number or an example is missing or given twice; names the line.
    """
    tasks: dict[str, Scores] = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            columns = rows.fieldnames or []
            totals = set(TOTALS) <= set(columns)
            if not totals and (missing := [name for name in NEEDED if name not in columns]):
                raise UserError(
                    f"{path}: no column {', '.join(missing)}: it has {', '.join(columns) or 'none'}, and needs "
                    f"{', '.join(NEEDED)}, or {', '.join(TOTALS)}"
                )
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                method, seed = _text(row, "method", where), row.get("seed") or ""
                scores = tasks[row.get("task") or ""][method][seed]
                if totals:
                    if scores:
                        raise UserError(f"{where}: the total of this method, task and seed is given twice")
                    scores.update(_dealt(row, where, f"{row.get('task')} {method} {seed}"))
                    continue
                example = _text(row, "example", where)
                if example in scores:
                    raise UserError(f"{where}: example '{example}' of this method, task and seed is given twice")
                scores[example] = _number(row, where)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV file in UTF-8: {error}") from error
    if not tasks:
        raise UserError(f"{path}: no rows")
    return ScoreTable(tasks, totals)


def _dealt(row: Mapping[str, str | None], where: str, name: str) -> dict[str, float]:
    """As many examples as the row says, with as many ones, in an order of the run's own."""
    correct, examples = (_whole(row, column, where) for column in ("correct", "examples"))
    if not 0 <= correct <= examples <= MOST_EXAMPLES or not examples:
        raise UserError(f"{where}: {correct} correct of {examples} examples: expected 0 to {MOST_EXAMPLES:,} examples")
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
    right = np.random.default_rng(seed).permutation(examples) < correct
    return {str(place): float(one) for place, one in enumerate(right)}


def _whole(row: Mapping[str, str | None], name: str, where: str) -> int:
    text = _text(row, name, where)
    if not text.isdecimal() or len(text) > 12:
        raise UserError(f"{where}: {name} is '{text}': expected a whole number")
    return int(text)


def _text(row: Mapping[str, str | None], name: str, where: str) -> str:
    value = row[name]
    if not value:
        raise UserError(f"{where}: no {name}")
    return value


def _number(row: Mapping[str, str | None], where: str) -> float:
    text = _text(row, "score", where)
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not abs(score) <= LARGEST:
        raise UserError(f"{where}: score is '{text}': expected a number")
    return score


def score_boards(table: ScoreTable, *, greater_is_better: bool = True) -> list[ScoreBoard]:
    """Every task with its methods ranked by their mean score over examples.

    Raises:
        UserError: the runs of a task are of different examples.
    """
    boards = []
    for task, methods in table.tasks.items():
        first, examples = next((name, next(iter(runs.values()))) for name, runs in methods.items())
        runs = {(name, seed): scores for name, seeds in methods.items() for seed, scores in seeds.items()}
        for (name, seed), scores in runs.items():
            if scores.keys() != examples.keys():
                odd = sorted(scores.keys() ^ examples.keys())[0]
                place = " ".join(filter(None, (task, name, seed and f"seed {seed}")))
                raise UserError(f"{place}: other examples than {first}: '{odd}' is in one of them alone")
        values = {key: [scores[example] for example in examples] for key, scores in runs.items()}
        drawn = dict(zip(runs, resampled_scores(Mean(), list(examples), list(values.values())), strict=True))
        samples = {
            name: Sample(
                np.array([np.mean(values[name, seed]) for seed in seeds]),
                np.stack([drawn[name, seed] for seed in seeds]),
                [values[name, seed] for seed in seeds],
            )
            for name, seeds in methods.items()
        }
        limits = (0.0, 1.0) if table.totals else (-math.inf, math.inf)
        ranking = rank(samples, greater_is_better=greater_is_better, limits=limits)
        seeds = max(len(runs) for runs in methods.values())
        boards.append(ScoreBoard(task, ranking, len(examples), seeds, table.totals))
    return boards


def score_ranks(boards: Sequence[ScoreBoard], *, greater_is_better: bool = True) -> AverageRanks | None:
    """Average ranks of the methods that are on every board; None where two boards or two such methods are lacking."""
    names = [name for name in boards[0].ranking.standings if all(name in board.ranking.standings for board in boards)]
    if len(boards) < 2 or len(names) < 2:
        return None
    means = {name: [board.ranking.standings[name].mean for board in boards] for name in names}
    return average_ranks(means, greater_is_better=[greater_is_better] * len(boards))


def render_scores(path: Path, *, greater_is_better: bool = True) -> RenderableType:
    """One table and verdict per task of the CSV file at `path`, and one verdict over tasks."""
    table = read_scores(path)
    try:
        boards = score_boards(table, greater_is_better=greater_is_better)
    except UserError as error:
        raise UserError(*(f"{path}: {message}" for message in error.messages)) from error
    parts: list[RenderableType] = [Padding(_table(board), (1, 0, 0, 0)) for board in boards]
    if ranks := score_ranks(boards, greater_is_better=greater_is_better):
        parts.append(Text("\n".join(map(visible, ["\nall tasks", *over_tasks(ranks)]))))
    return Group(*parts)


def _table(board: ScoreBoard) -> Table:
    widest = 1.0 if board.totals else math.inf
    words = in_words(board.ranking, examples=board.examples, seeds=board.seeds, widest=widest)
    if board.seeds == 1:
        words.append("One seed per method: another training run may order them otherwise.")
    if board.totals:
        words.append("From totals: methods count as independent; by example, more of them may separate.")
    table = Table(
        title=Text(visible(board.task)) if board.task else None,
        title_justify="left",
        caption=Text("\n".join(map(visible, words))),
        caption_justify="left",
        caption_style="",
        box=None,
        header_style="bold",
    )
    for name in ("tier", "ranks", "method", "mean ± std", "95 % interval"):
        table.add_column(name, justify="left" if name == "method" else "right", no_wrap=name != "method")
    for name, standing in board.ranking.standings.items():
        cells = [str(standing.tier), show.ranks(standing.ranks), name, show.spread(standing.mean, standing.std)]
        table.add_row(*(Text(visible(cell)) for cell in [*cells, show.interval(standing.interval)]))
    return table
