"""Writes everything that is made of the committed results: boards, their summary, and the pages that quote them.

make leaderboard                    # from the records in results/
make leaderboard FROM=/elsewhere    # first copies the records below /elsewhere/{encoder,decoder,…}, without texts

`results/<comparison>` gets LEADERBOARD.md, index.html and pictures; `results/LEADERBOARD.md` is the summary; the
README, docs/choose-a-method.md and docs/leaderboard/reproduce.md get their tables.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from committed import RESULTS, ROOT, boards_of, present
from comparisons import COMPARISONS, Comparison

from peft_bottleneck_bench import Board
from peft_bottleneck_bench.boards import build
from peft_bottleneck_bench.boards import formatting as show
from peft_bottleneck_bench.boards.columns import share
from peft_bottleneck_bench.boards.overview import overviews
from peft_bottleneck_bench.boards.publishing import publish
from peft_bottleneck_bench.boards.verdict import still_improving, verdict
from peft_bottleneck_bench.configuration.yaml_files import read_yaml

CONFIGURATIONS = ROOT / "configs" / "leaderboard"
LEGEND = """\
★ marks the methods that may be best: no test finds another method better. ☆ marks those of which this holds only
because their scores scatter: a method with a better mean is worse than the best. ↗ marks methods that were still
improving when their training ended: a longer one may change their place. Tests are paired over test examples and
seeds, with Holm's correction for all pairs of a board. Methods that the tests do not separate are not equal: each
board says which difference it would have found. The share is that of the trained parameters, task head included. Every
method had four trials of its learning rate, chosen on validation; `<comparison>-search` has their records."""
WITHOUT = """\
wnut17 (named entities in social media) is on no board: after such short trainings this encoder predicts no entity for
every example, so its scores separate nothing. GLUE with BERT-base and GSM8K with Llama-3.2-3B (`configs/full_size`)
were not run: they need a GPU and the hub."""


def take(source: Path, results: Path) -> None:
    """Copies the records of every comparison and of its search, without texts of the data."""
    for comparison in COMPARISONS:
        for name in (comparison.folder, f"{comparison.folder}-search"):
            if any((source / name).rglob("seed*.json")):
                print(f"{publish(source / name, results / name)} records in {results / name}")
        leave_out(results / comparison.folder, results / f"{comparison.folder}-search")


def leave_out(folder: Path, search: Path) -> None:
    """Removes tasks on which fewer than two methods have records, as nothing is compared there, and their trials."""
    for task in sorted(path for path in folder.glob("*") if path.is_dir() and path.name != "pictures"):
        methods = {record.parent.name for record in task.rglob("seed*.json")}
        if len(methods) < 2:
            print(f"left out: {task}, with {' and '.join(methods) or 'no method'} alone")
            shutil.rmtree(task)
    for task in sorted(search.glob("*")):
        if not (folder / task.name).is_dir():
            shutil.rmtree(task)


def summary(results: Path) -> str:
    """All comparisons in one document: verdicts in words first, then the scores side by side."""
    found = present(results)
    parts = ["# Leaderboard", "Generated from the records in this folder by `make leaderboard`; do not edit.", LEGEND]
    for comparison in found:
        parts += _verdicts(comparison, boards_of(results / comparison.folder))
    parts += ["## Side by side", *_side_by_side(results, found), "## Not here", *_not_run(results), WITHOUT]
    return "\n\n".join(parts) + "\n"


def _not_run(results: Path) -> Iterator[str]:
    """The tasks of the committed configurations that have no board."""
    missing: dict[str, list[str]] = {one.title: [] for one in COMPARISONS}
    for file in sorted(CONFIGURATIONS.glob("*.yaml")):
        content = read_yaml(file)
        (comparison,) = (one for one in COMPARISONS if one.folder == Path(content["results"]).name)
        there = {board.record.task for board in boards_of(results / comparison.folder)}
        names = [task if isinstance(task, str) else task["name"] for task in content["tasks"]]
        missing[comparison.title] += [name for name in names if name not in there]
    lines = [f"- {title}: {', '.join(tasks)}" for title, tasks in missing.items() if tasks]
    if lines:
        yield "These tasks of `configs/leaderboard` have not run yet:"
        yield "\n".join(lines)


def _verdicts(comparison: Comparison, boards: Sequence[Board]) -> Iterator[str]:
    folder = comparison.folder
    yield f"## {comparison.title}"
    yield (
        f"{comparison.words} [Tables and pictures]({folder}/LEADERBOARD.md), "
        f"[page with every run, curve and example]({folder}/index.html)."
    )
    yield "\n".join(f"- **{board.record.task}** ({board.main_metric}). {_in_short(board)}" for board in boards)
    for overview in overviews(boards):
        yield f"**All tasks** of {overview.model}. {' '.join(overview.verdict)}"


def _in_short(board: Board) -> str:
    """Who may be best, what the board would have found, and who is incomplete."""
    sentences = verdict(board)[:1]
    if board.ranking is not None and board.ranking.detectable is not None:
        sentences.append(f"A typical pair separates at a difference of {show.score(board.ranking.detectable)}.")
    if incomplete := [row.method for row in board.rows if row.problem]:
        sentences.append(f"Incomplete: {', '.join(incomplete)}.")
    if collapsed := [row.method for row in board.rows if row.collapses]:
        sentences.append(f"A run collapsed: {', '.join(collapsed)}.")
    return " ".join(sentences)


def _side_by_side(results: Path, found: Sequence[Comparison]) -> Iterator[str]:
    """One table per task and model: a row for each method, a column for each comparison."""
    columns: dict[str, list[tuple[Comparison, Board]]] = {}
    for comparison in found:
        for board in boards_of(results / comparison.folder):
            columns.setdefault(board.title, []).append((comparison, board))
    for title, shown in columns.items():
        methods = list(dict.fromkeys(row.method for _, board in shown for row in board.rows))
        lines = [
            f"| method | {' | '.join(comparison.short for comparison, _ in shown)} |",
            "| --- |" + " --- |" * len(shown),
            *(f"| {method} | {' | '.join(_cell(board, method) for _, board in shown)} |" for method in methods),
        ]
        yield f"### {title} ({shown[0][1].main_metric})"
        yield "\n".join(lines)


def _cell(board: Board, method: str) -> str:
    row = next((row for row in board.rows if row.method == method), None)
    if row is None or row.standing is None:
        return show.NONE
    marks = (show.star(row.standing), "↗" if method in still_improving(board) else "")
    scores = " ".join([show.spread(row.standing.mean, row.standing.std), *filter(None, marks)])
    return f"{scores} ({share(row)})" + (", incomplete" if row.problem else "")


def main(results: Path = RESULTS) -> None:
    import choices  # these load models, which takes seconds
    import reproduce

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", type=Path, metavar="DIR")
    if (source := parser.parse_args().source) is not None:
        take(source, results)
    write(results)
    choices.main()
    reproduce.main()


def write(results: Path) -> None:
    """The boards below `results`, and their summary."""
    for comparison in present(results):
        build(results / comparison.folder)
    if present(results):
        (results / "LEADERBOARD.md").write_text(summary(results), encoding="utf-8")


if __name__ == "__main__":
    main()
