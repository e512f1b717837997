"""Two methods, or two sets of runs, against each other: the leaderboard's statistics for one pair.

Two methods of one folder that are complete on their board are compared as the board does, with its correction for all
pairs. Otherwise the pair is tested alone, on the seeds that both finished, and notes say what differs between the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from .. import records
from ..errors import UserError, suggest
from ..records import remote, stores
from ..statistics import LEVEL, Ranking, Standing
from . import formatting as show
from .boards import Board, Row, Runs, boards, rank_on
from .samples import NotComparable, read_tests, samples

Place = tuple[str, str]  # task and model


@dataclass(frozen=True)
class Comparison:
    """The comparison of A and B on one task and model.

    Args:
        names: of A and B.
        standings: theirs.
        seeds: those that both have.
        difference: of the means, A less B.
        interval: of the difference at `LEVEL`, for this pair alone; None where fewer than two examples differ.
        p_value: that equal methods would differ so much, for this pair alone.
        corrected: `p_value` adjusted for `pairs` pairs; the verdict follows it.
        notes: facts that a reader must know, one sentence each.
    """

    task: str
    model: str
    metric: str
    greater_is_better: bool
    examples: int
    names: tuple[str, str]
    standings: tuple[Standing, Standing]
    seeds: tuple[int, ...]
    difference: float
    interval: tuple[float, float] | None
    p_value: float
    corrected: float
    pairs: int
    notes: list[str] = field(default_factory=list)

    @property
    def better(self) -> int | None:
        """0 for A, 1 for B, None where the data cannot separate them."""
        if self.corrected >= 1 - LEVEL:
            return None
        return 0 if (self.difference > 0) == self.greater_is_better else 1

    @property
    def verdict(self) -> str:
        """In words."""
        if self.better is None:
            return "a tie: the data cannot separate them"
        return f"{self.names[self.better]} is better by {show.score(abs(self.difference))}"

    @property
    def why_both(self) -> str | None:
        """Why the interval and the verdict disagree; None where they agree."""
        if self.better is not None or self.interval is None or self.interval[0] <= 0 <= self.interval[1]:
            return None
        return (
            f"The interval leaves out 0, as the pair alone is significant ({show.p_value(self.p_value)}). The verdict "
            f"follows the corrected p: of {self.pairs} pairs, some differ so much by chance."
        )

    def as_json(self) -> dict[str, object]:
        """Plain values, the two sides as `a` and `b`."""
        sides = {
            side: {"name": name, "mean": standing.mean, "std": standing.std}
            for side, name, standing in zip("ab", self.names, self.standings, strict=True)
        }
        names = ("task", "model", "metric", "greater_is_better", "examples")
        return {
            **{name: getattr(self, name) for name in names},
            **sides,
            "seeds": list(self.seeds),
            "difference": self.difference,
            "interval": None if self.interval is None else list(self.interval),
            "p_value": self.p_value,
            "corrected": self.corrected,
            "pairs": self.pairs,
            "better": None if self.better is None else "ab"[self.better],
            "verdict": self.verdict,
            "notes": self.notes,
        }


def compare(a: str, b: str, results: Path | str, task: str | None = None) -> tuple[list[Comparison], list[str]]:
    """Compares A and B wherever both have runs; and says, one line each, where they cannot be compared.

    Args:
        a, b: a folder of records or a record, by its path or address, or else a method of `results`.
        results: a folder, or an address.
        task: the only task to look at.

    Raises:
        UserError: there is no such folder, method or task, or A and B have no task and model in common.
    """
    if a == b:
        raise UserError(f"A and B are both '{a}'")
    known: dict[str, list[Board]] = {}

    def boards_of(name: str) -> list[Board]:
        place = name if _is_place(name) else str(results)
        if place not in known:
            known[place] = boards(_runs(place, task, method="" if _is_place(name) else name))
        return known[place]

    of_a, of_b = (_rows(name, boards_of(name), results) for name in (a, b))
    found, refused = [], []
    for place in of_a.keys() & of_b.keys():
        for first, second in _pairs(of_a[place], of_b[place]):
            try:
                found.append(_comparison(place, (a, b), first, second))
            except NotComparable as error:
                refused.append(f"{' · '.join(place)}: {error}")
    for name, mine, other in ((a, of_a, of_b), (b, of_b, of_a)):
        refused += [f"{' · '.join(place)}: only '{name}' has runs" for place in sorted(mine.keys() - other.keys())]
    if not found:
        raise UserError("nothing to compare", *refused)
    return sorted(found, key=lambda one: (one.task, one.model, one.names)), refused


def _is_place(name: str) -> bool:
    return stores.is_address(name) or Path(name).exists()


def _runs(place: str, task: str | None, method: str = "") -> Runs:
    """The records of a place, in which `method` is looked up, if it is one."""
    warnings: list[str] = []
    path = remote.fetched(place)
    if path.is_file():
        try:
            found = {path: records.read(path)}
        except ValueError as error:
            raise UserError(str(error)) from error
    elif path.is_dir():
        found, warnings = records.read_all(path)
    else:
        where = f" to look '{method}' up in: --results names the folder of records" if method else ""
        raise UserError(f"{place}: no such folder{where}")
    if not found:
        raise UserError(f"{place}: no records below it", *warnings)
    tasks = sorted({record.task for record in found.values()})
    if task is not None and task not in tasks:
        raise UserError(f"{place}: no records of task '{task}': {suggest(task, tasks)}")
    return {path: record for path, record in found.items() if task in (None, record.task)}


def _rows(name: str, found: list[Board], results: Path | str) -> Mapping[Place, list[tuple[Board, Row]]]:
    """The rows of `name`, by task and model."""
    is_method = not _is_place(name)
    rows: dict[Place, list[tuple[Board, Row]]] = {}
    for board in found:
        for row in board.rows:
            if not is_method or row.method == name:
                rows.setdefault((board.record.task, board.record.model), []).append((board, row))
    if is_method and not rows:
        methods = sorted(set(chain.from_iterable([row.method for row in board.rows] for board in found)))
        raise UserError(f"{results}: no method '{name}' (and no such folder or record): {suggest(name, methods)}")
    return rows


def _pairs(
    first: list[tuple[Board, Row]], second: list[tuple[Board, Row]]
) -> Iterator[tuple[tuple[Board, Row], tuple[Board, Row]]]:
    """Rows of one board, or else the only ones of both sides, or else those of one method."""
    different = [(a, b) for a in first for b in second if a[1] is not b[1]]
    together = [(a, b) for a, b in different if a[0] is b[0]]
    if together or (len(first) == len(second) == 1):
        yield from together or different
    else:
        yield from ((a, b) for a, b in different if a[1].method == b[1].method)


def _comparison(
    place: Place, asked: tuple[str, str], first: tuple[Board, Row], second: tuple[Board, Row]
) -> Comparison:
    (board, a), (other, b) = first, second
    names = (_name(asked[0], a), _name(asked[1], b))
    if board is other and board.ranking and a.problem is None and b.problem is None:
        keys, ranking, notes = (a.method, b.method), board.ranking, list(board.notes)
        runs: tuple[Runs, Runs] = (a.finished, b.finished)
    else:
        keys = names
        runs, notes = _alone(names, first, second)
        tests = read_tests({**runs[0], **runs[1]})
        ranking = rank_on(board, samples(dict(zip(names, runs, strict=True)), tests))
    pair = ranking.between(*keys)
    standings = _standings(ranking, keys)
    return Comparison(
        *place,
        metric=board.main_metric,
        greater_is_better=board.greater_is_better,
        examples=board.record.data.counts.test,
        names=names,
        standings=standings,
        seeds=tuple(record.seed for record in runs[0].values()),
        difference=pair.difference,
        interval=pair.interval,
        p_value=pair.p_value,
        corrected=pair.corrected,
        pairs=len(ranking.pairs),
        notes=notes,
    )


def _name(asked: str, row: Row) -> str:
    return row.method if asked == row.method else f"{asked}: {row.method}"


def _standings(ranking: Ranking, keys: tuple[str, str]) -> tuple[Standing, Standing]:
    return ranking.standings[keys[0]], ranking.standings[keys[1]]


def _alone(
    names: tuple[str, str], first: tuple[Board, Row], second: tuple[Board, Row]
) -> tuple[tuple[Runs, Runs], list[str]]:
    """The runs of both rows on the seeds that both finished, and what else differs between the rows.

    Raises:
        NotComparable: by another metric, or with no seed in common.
    """
    (board, a), (other, b) = first, second
    metrics = [(one.main_metric, one.record.metric.name, one.record.metric.options) for one in (board, other)]
    if metrics[0] != metrics[1]:
        raise NotComparable(f"scored by {metrics[0][0]} and by {metrics[1][0]}, or with other options of the metric")
    by_seed = [{record.seed: path for path, record in row.finished.items()} for row in (a, b)]
    common = sorted(by_seed[0].keys() & by_seed[1].keys())
    seeds = [", ".join(map(str, sorted(one))) or "none" for one in by_seed]
    if not common:
        raise NotComparable(f"no seed in common: {names[0]} finished {seeds[0]}, {names[1]} {seeds[1]}")
    notes = []
    if by_seed[0].keys() != by_seed[1].keys():
        notes.append(f"On common seeds alone: {names[0]} finished {seeds[0]}, {names[1]} {seeds[1]}.")
    if board.record.data.identity != other.record.data.identity:
        counts = [" / ".join(str(count) for _, count in one.record.data.counts) for one in (board, other)]
        notes.append(f"The data differ, the test examples do not: {counts[0]} and {counts[1]} examples.")
    if len(common) == 1:
        notes.append("One seed per method: another training run may order them otherwise.")
    runs = tuple({one[seed]: row.runs[one[seed]] for seed in common} for one, row in zip(by_seed, (a, b), strict=True))
    return (runs[0], runs[1]), notes
