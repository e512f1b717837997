"""The leaderboard's own results: the boards of the comparisons that `results/` holds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from comparisons import COMPARISONS, Comparison

from peft_bottleneck_bench import Board, read_records
from peft_bottleneck_bench.boards import boards
from peft_bottleneck_bench.records import costs

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"


DEFAULT_SIZES = ("encoder", "decoder")


def present(results: Path = RESULTS) -> list[Comparison]:
    """The comparisons that have records."""
    return [one for one in COMPARISONS if any((results / one.folder).rglob("seed*.json"))]


@cache
def boards_of(folder: Path) -> tuple[Board, ...]:
    """The boards of a folder of records; none where there is no such folder."""
    return tuple(boards(read_records(folder)[0], costs.read(folder))) if folder.is_dir() else ()


def all_boards(results: Path = RESULTS) -> Iterator[tuple[Comparison, Board]]:
    """Every board of every comparison."""
    for comparison in present(results):
        yield from ((comparison, board) for board in boards_of(results / comparison.folder))


def replace_between(document: Path, name: str, content: str) -> None:
    """Writes `content` between the marks of `name` in a document."""
    begin, end = marks(name)
    before, rest = document.read_text(encoding="utf-8").split(begin)
    document.write_text(before + begin + content + end + rest.split(end)[1], encoding="utf-8")


def marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
