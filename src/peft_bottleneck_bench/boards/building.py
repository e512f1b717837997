"""Writes the tables, the page and the pictures of a folder of records into it."""

from __future__ import annotations

from pathlib import Path

from .. import records
from ..file_names import slug
from ..files import replacing, writing
from ..records import costs
from .boards import Board, boards
from .inputs import Inputs
from .markdown import markdown
from .overview import Overview, overviews
from .page import page

PAGE = "index.html"
DOCUMENT = "LEADERBOARD.md"


def build(results: Path, inputs: Inputs | None = None) -> list[Path]:
    """Writes `LEADERBOARD.md`, `index.html` and `pictures/` for all records below `results`.

    The same records and prediction files give the same bytes.

    Args:
        inputs: what test examples say, for the page: whoever passes the page on passes these texts on.

    Returns:
        The files written.

    Raises:
        StorageError: the folder cannot be written; names it and the cause.
    """
    found = _boards(results)
    over = overviews(found)
    with writing(results):
        drawn = _pictures(found, over, results)
        shown = [[path.relative_to(results).as_posix() for path in paths if path.suffix == ".png"] for paths in drawn]
        _write(results / DOCUMENT, markdown(found, over, shown))
        _write(results / PAGE, page(found, over, results, inputs))
    return [results / DOCUMENT, results / PAGE, *(path for paths in drawn for path in paths)]


def write_page(results: Path) -> Path:
    """Writes `index.html` alone for all records below `results`, and returns its path.

    Raises:
        StorageError: the folder cannot be written; names it and the cause.
    """
    found = _boards(results)
    with writing(results):
        _write(results / PAGE, page(found, overviews(found), results))
    return results / PAGE


def _boards(results: Path) -> list[Board]:
    try:
        measured = costs.read(results)
    except ValueError:
        measured = None  # `records.read_all` warns of it
    return boards(records.read_all(results)[0], measured)


def _pictures(found: list[Board], over: list[Overview], results: Path) -> list[list[Path]]:
    """Draws every overview and then every board, and removes the pictures of earlier ones."""
    from . import pictures  # importing matplotlib takes a second, and the page alone does not need it

    folder, methods = results / "pictures", pictures.styles(found)
    drawn = [pictures.write_overview(one, folder / f"{slug(one.model)}-overview") for one in over]
    drawn += [
        pictures.write(board, methods, folder / f"{number:02}-{slug(board.title)}")
        for number, board in enumerate(found)
    ]
    kept = {path for paths in drawn for path in paths}
    for kind in ("cost", "loss", "overview"):
        for path in set(folder.glob(f"*-{kind}.*")) - kept:
            path.unlink()
    return drawn


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())
