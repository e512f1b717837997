"""Everything that is made from the records of a folder, written into it."""

from __future__ import annotations

from pathlib import Path

from .. import records
from .boards import boards
from .markdown import markdown
from .overview import overviews


def build(results_dir: Path) -> list[Path]:
    """Writes `LEADERBOARD.md`, `index.html` and `pictures/` for all records below `results_dir`.

    The same records and prediction files give the same bytes.

    Returns:
        The files written.
    """
    # Here, because matplotlib takes a second that the terminal's table need not wait for.
    from . import pictures
    from .page import page

    runs, _ = records.read_all(results_dir)
    found = boards(runs)
    all_tasks = overviews(found)
    methods = pictures.styles(found)
    written: dict[str, list[Path]] = {}
    for number, board in enumerate(found):
        stem = results_dir / "pictures" / f"{number:02}-{_slug(board.title)}"
        written[board.title] = pictures.write(board, methods, stem)
    relative = {
        title: [path.relative_to(results_dir).as_posix() for path in paths if path.suffix == ".png"]
        for title, paths in written.items()
    }
    texts = {
        results_dir / "LEADERBOARD.md": markdown(found, all_tasks, relative),
        results_dir / "index.html": page(found, all_tasks, results_dir),
    }
    for path, text in texts.items():
        with records.replacing(path) as file:
            file.write(text.encode())
    drawn = [path for paths in written.values() for path in paths]
    for path in {*results_dir.glob("pictures/*-cost.*"), *results_dir.glob("pictures/*-loss.*")} - {*drawn}:
        path.unlink()  # of a board that is no more
    return [*texts, *drawn]


def _slug(title: str) -> str:
    """`title` as a file name: letters, digits and single dashes."""
    return "-".join("".join(c if c.isalnum() and c.isascii() else " " for c in title).split()).lower()
