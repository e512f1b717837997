"""Everything that is made from the records of a folder, written into it."""

from __future__ import annotations

from pathlib import Path

from .. import records
from ..file_names import slug
from ..files import replacing, writing
from .boards import boards
from .markdown import markdown
from .overview import overviews


def build(results_dir: Path) -> list[Path]:
    """Writes `LEADERBOARD.md`, `index.html` and `pictures/` for all records below `results_dir`.

    The same records and prediction files give the same bytes.

    Returns:
        The files written.

    Raises:
        StorageError: the folder cannot be written; names it and the cause.
    """
    with writing(results_dir):
        return _build(results_dir)


def _build(results_dir: Path) -> list[Path]:
    # Here, because matplotlib takes a second that the terminal's table need not wait for.
    from . import pictures
    from .page import page

    runs, _ = records.read_all(results_dir)
    found = boards(runs)
    all_tasks = overviews(found)
    methods = pictures.styles(found)
    written = [
        pictures.write(board, methods, results_dir / "pictures" / f"{number:02}-{slug(board.title)}")
        for number, board in enumerate(found)
    ]
    relative = [
        [path.relative_to(results_dir).as_posix() for path in paths if path.suffix == ".png"] for paths in written
    ]
    texts = {
        results_dir / "LEADERBOARD.md": markdown(found, all_tasks, relative),
        results_dir / "index.html": page(found, all_tasks, results_dir),
    }
    for path, text in texts.items():
        with replacing(path) as file:
            file.write(text.encode())
    drawn = [path for paths in written for path in paths]
    for path in {*results_dir.glob("pictures/*-cost.*"), *results_dir.glob("pictures/*-loss.*")} - {*drawn}:
        path.unlink()  # of a board that is no more
    return [*texts, *drawn]
