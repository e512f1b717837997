"""The verdict of a board, in words: which methods may be best, which are worse, and what the data leave open."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean

from ..statistics import LEVEL, POWER, Pair, Ranking
from . import formatting as show
from .boards import Board
from .columns import has_train_times

MOST_LOSERS = 6


def verdict(board: Board) -> list[str]:
    """One sentence each, the answer first; none for a board without a ranking, whose notes say why."""
    if board.ranking is None:
        return []
    low, high = board.score.limits if board.score is not None else (-math.inf, math.inf)
    counts = board.record.data.counts
    return in_words(board.ranking, examples=counts.test, seeds=len(board.seeds), widest=high - low)


def in_words(ranking: Ranking, *, examples: int, seeds: int, widest: float = math.inf) -> list[str]:
    """The verdict of a ranking over `examples` test examples and as many `seeds` per method.

    Args:
        widest: the largest difference that two scores can have, such as 1 for an accuracy.
    """
    if not ranking.pairs:
        (name,) = ranking.standings
        return [f"{name} is the only complete method: there is nothing to compare it with."]
    best = " ".join([_best(ranking), *_scattered(ranking)])
    return [best, *_worse(ranking), *_limits(ranking, examples, seeds, widest)]


def remarks(board: Board) -> list[str]:
    """Further facts for readers: incomplete methods, collapsed runs, short trainings, and the board's notes."""
    incomplete = [f"{row.method} is incomplete: {row.problem}" for row in board.rows if row.problem]
    collapsed = [f"{row.method} collapsed: {'; '.join(row.collapses)}" for row in board.rows if row.collapses]
    times = [] if has_train_times(board) else ["No train times: other processes used the machine during the runs."]
    return [*incomplete, *collapsed, *_still_improving(board), *board.notes, *times]


def still_improving(board: Board) -> dict[str, float]:
    """Methods whose training ended far from a plateau, with what the last evaluation gained, in the mean over seeds.

    It gained more than the difference that the board can separate.
    """
    if board.ranking is None or board.ranking.detectable is None:
        return {}
    sign = 1 if board.greater_is_better else -1
    gains: dict[str, float] = {}
    for row in board.rows:
        curves = [run.validation_curve for run in row.finished.values() if len(run.validation_curve) > 1]
        gains[row.method] = fmean(sign * (curve[-1][1] - curve[-2][1]) for curve in curves) if curves else 0.0
    return {name: gain for name, gain in gains.items() if gain > board.ranking.detectable}


def _still_improving(board: Board) -> Iterator[str]:
    if found := [f"{name} by {show.score(gain)}" for name, gain in still_improving(board).items()]:
        yield (
            f"Still improving on validation in the last evaluation, in the mean over seeds: {joined(found)}. Longer "
            "training may change places."
        )


def difference(pair: Pair) -> str:
    """`0.0321 (95 % interval 0.0120 to 0.0520, p = 0.002)`, of the better less the worse in absolute terms."""
    pair = pair if pair.difference >= 0 else pair.reversed
    interval = f"{LEVEL:.0%} interval {show.interval(pair.interval)}".replace("%", " %")
    return f"{show.score(pair.difference)} ({interval}, {show.p_value(pair.corrected)})"


def _best(ranking: Ranking) -> str:
    names = list(ranking.standings)
    best = [name for name, standing in ranking.standings.items() if standing.may_be_best]
    if len(best) == len(names):
        return f"Nothing is separated: each of the {len(names)} methods may be best."
    if len(best) > 1:
        return f"{joined(best)} may each be best: the data do not separate them."
    if all(ranking.between(best[0], name).separated for name in names if name != best[0]):
        return f"{best[0]} is best: every other method is significantly worse."
    if any(standing.scattered for standing in ranking.standings.values()):
        return f"{best[0]} may be best."
    return f"Only {best[0]} may be best: every other method is significantly worse than some method."


def _scattered(ranking: Ranking) -> Iterator[str]:
    """The methods with a low mean that the tests leave among the best."""
    names = [name for name, standing in ranking.standings.items() if standing.scattered]
    if names:
        lower, whose, out = (
            ("has a lower mean", "its", "it") if len(names) == 1 else ("have lower means", "their", "them")
        )
        yield f"{joined(names)} {lower}, but {whose} scores scatter too much to rule {out} out."


def _worse(ranking: Ranking) -> list[str]:
    """Each method that loses, against the best-placed method that beats it."""
    beaten: dict[str, tuple[str, Pair]] = {}
    for (better, worse), pair in ranking.pairs.items():
        if pair.separated:
            beaten.setdefault(worse, (better, pair))
    lines = [f"{worse} is worse than {better} by {difference(pair)}." for worse, (better, pair) in beaten.items()]
    if len(lines) > MOST_LOSERS + 1:  # one more is as short as its mention
        rest = joined(list(beaten)[MOST_LOSERS:])
        lines = [*lines[:MOST_LOSERS], f"So are {rest}, each than a method above it."]
    return lines


def _limits(ranking: Ranking, examples: int, seeds: int, widest: float) -> list[str]:
    """The pairs that the board leaves open, and the size of a difference that it would find."""
    open_pairs = [names for names, pair in ranking.pairs.items() if not pair.separated]
    if not open_pairs:
        return []
    pairs = "this pair" if len(ranking.pairs) == 1 else f"{len(open_pairs)} of {len(ranking.pairs)} pairs"
    found = f"The data do not separate {pairs}, which does not make them equal"
    if ranking.detectable is None:
        return [f"{found}."]
    size = f"{examples:,} test examples and {seeds} seed{'s' if seeds > 1 else ''}"
    if ranking.detectable > widest:
        return [f"{found}: {size} are too few to separate a typical pair, however much it differs."]
    return [
        f"{found}: with {size}, a typical pair has to differ by "
        f"{show.score(ranking.detectable)} to be separated with a power of {POWER:.0%}.".replace("%", " %")
    ]


def joined(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
