"""Which scores a picture of a board shows, so that the intervals have room in it."""

from __future__ import annotations

from collections.abc import Sequence

from ..statistics import Standing
from .boards import Board

ROOM = 3  # times the span of the intervals of those that may be best: others are in the picture up to this far from it


def window(board: Board) -> tuple[float, float]:
    """The least and the greatest end of the intervals, without those far from the methods that may be best."""
    standings = [row.standing for row in board.rows if row.standing]
    best = _ends([standing for standing in standings if standing.may_be_best] or standings)
    room = ROOM * (max(best, default=1.0) - min(best, default=0.0))
    ends = [end for end in _ends(standings) if not room or min(best) - room <= end <= max(best) + room]
    return min(ends, default=0.0), max(ends, default=1.0)


def _ends(standings: Sequence[Standing]) -> list[float]:
    return [end for standing in standings for end in (standing.mean, *(standing.interval or ()))]
