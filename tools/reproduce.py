"""Writes the table of docs/leaderboard/reproduce.md: what papers found, beside what the committed boards show.

python tools/reproduce.py
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from committed import RESULTS, ROOT, boards_of, replace_between
from comparisons import COMPARISONS

from peft_bottleneck_bench import Board
from peft_bottleneck_bench.boards import formatting as show
from peft_bottleneck_bench.statistics import Pair

PAGE = ROOT / "docs" / "leaderboard" / "reproduce.md"
SHORT = {one.folder: f"{one.title}" for one in COMPARISONS}
SUPPORTED, CONTRADICTED, UNDECIDED = "supports it", "contradicts it", "cannot decide"


@dataclass(frozen=True)
class Claim:
    """One finding of a paper, and the pair of methods that shows it here.

    Args:
        paper: authors, year, and where it is.
        found: the finding, in one sentence.
        first, second: methods.
        folders: the comparisons that can show it.
        margin: None: the first is better. A number: the first is at most so much worse, as a share of the scale.
        apart: how the paper's setting differs from that of the boards.
        tasks: those that can show it; empty: all.
    """

    paper: str
    found: str
    first: str
    second: str
    folders: tuple[str, ...]
    margin: float | None
    apart: str
    tasks: tuple[str, ...] = ()


CLAIMS = (
    Claim(
        "Houlsby et al. 2019, [arXiv 1902.00751](https://arxiv.org/abs/1902.00751)",
        "Adapters come within 0.4 points of full fine-tuning on GLUE, with 3.6 % of the parameters per task.",
        "houlsby",
        "full",
        ("encoder",),
        0.004,
        "BERT-large on all of GLUE's training examples there; a small encoder and 800 to 2,500 examples here.",
    ),
    Claim(
        "Pfeiffer et al. 2021, AdapterFusion, [arXiv 2005.00247](https://arxiv.org/abs/2005.00247)",
        "One bottleneck per block, after the FFN, is enough: a search over placements chooses it. One point is ours.",
        "pfeiffer",
        "houlsby",
        ("encoder", "encoder-half-percent", "encoder-two-percent", "decoder"),
        0.01,
        "At the default sizes Pfeiffer has half of Houlsby's parameters, at equal budgets as many.",
    ),
    Claim(
        "He et al. 2022, [arXiv 2110.04366](https://arxiv.org/abs/2110.04366)",
        "A parallel adapter is better than a sequential one of equal size.",
        "parallel_adapter",
        "pfeiffer",
        ("encoder-half-percent", "encoder-two-percent"),
        None,
        "The sequential adapter is Pfeiffer's. Summarization and translation with BART-large and mBART there.",
    ),
    Claim(
        "Hu et al. 2022, LoRA, [arXiv 2106.09685](https://arxiv.org/abs/2106.09685)",
        "LoRA is as good as full fine-tuning or better: 87.2 and 86.4 on GLUE with RoBERTa-base. One point is ours.",
        "lora",
        "full",
        ("encoder", "decoder"),
        0.01,
        "All of GLUE's training examples there.",
    ),
    Claim(
        "Hu et al. 2022, LoRA, [arXiv 2106.09685](https://arxiv.org/abs/2106.09685)",
        "LoRA is better than Houlsby's adapters of about its size: 70.4 and 66.3 BLEU on E2E with GPT-2 medium.",
        "lora",
        "houlsby",
        ("encoder-half-percent", "encoder-two-percent"),
        None,
        "Generation with 0.1 % of a decoder's parameters there; an encoder here.",
    ),
    Claim(
        "Hu et al. 2023, LLM-Adapters, [arXiv 2304.01933](https://arxiv.org/abs/2304.01933)",
        "With LLaMA-13B on commonsense questions, parallel adapters (81.5) are better than LoRA (80.5).",
        "parallel_adapter",
        "lora",
        ("decoder",),
        None,
        "A decoder of 13 billion parameters there, of 135 million here. With 7 billion LoRA is ahead: 74.7 and 72.2.",
        ("arc_easy",),
    ),
    Claim(
        "Hu et al. 2023, LLM-Adapters, [arXiv 2304.01933](https://arxiv.org/abs/2304.01933)",
        "With LLaMA-13B on commonsense questions, LoRA (80.5) is better than adapters in series (79.5).",
        "lora",
        "pfeiffer",
        ("decoder",),
        None,
        "As above; with 7 billion it is 74.7 and 70.8. The adapter in series after the FFN is Pfeiffer's.",
        ("arc_easy",),
    ),
)


def page_part(results: Path = RESULTS, claims: tuple[Claim, ...] = CLAIMS) -> str:
    """A section for each claim: the verdict in words, then a table with a row for each board."""
    return "\n".join(_section(claim, results) for claim in claims)


def _section(claim: Claim, results: Path) -> str:
    found = list(_measured(claim, results))
    lines = [f"### {claim.paper.partition(',')[0]}: {claim.first} and {claim.second}", ""]
    lines += [f"{claim.found} ({claim.paper}.)", "", f"*Apart:* {claim.apart}", "", f"**{_verdict(found)}**", ""]
    if found:
        lines += ["| board | difference | 95 % interval | p | would find | the board |", "| --- |" + " --- |" * 5]
        lines += [
            f"| {SHORT[folder]}: {board.record.task} ({board.main_metric}) | {_signed(pair.difference)} | "
            f"{show.interval(pair.interval)} | {show.p_value(pair.corrected).removeprefix('p ').removeprefix('= ')} | "
            f"{show.score(pair.detectable)} | {word} |"
            for folder, board, pair, word in found
        ]
        lines.append("")
    return "\n".join(lines)


def _measured(claim: Claim, results: Path) -> Iterator[tuple[str, Board, Pair, str]]:
    """The pair of the claim on every board that ranks both methods, and what it says."""
    for folder in claim.folders:
        for board in boards_of(results / folder):
            if claim.tasks and board.record.task not in claim.tasks:
                continue
            if board.ranking is None or not {claim.first, claim.second} <= board.ranking.standings.keys():
                continue
            pair = board.ranking.between(claim.first, claim.second)
            yield folder, board, pair, judged(pair, claim.margin, board.greater_is_better, scale(board))


def judged(pair: Pair, margin: float | None, greater_is_better: bool, scale: float = 1.0) -> str:
    """What a pair says of a claim: that the first is better, or at most `margin` · `scale` worse.

    The first sort follows the corrected test of the board; the second the interval of this pair alone.
    """
    pair = pair if greater_is_better else pair.reversed
    if margin is None:
        if not pair.separated:
            return UNDECIDED
        return SUPPORTED if pair.difference > 0 else CONTRADICTED
    if pair.interval is None:
        return UNDECIDED
    if pair.interval[0] >= -margin * scale:
        return SUPPORTED
    return CONTRADICTED if pair.interval[1] < -margin * scale else UNDECIDED


def scale(board: Board) -> float:
    """100 for scores that run to 100, 1 for others."""
    return 100.0 if board.score and board.score.limits[1] == 100 else 1.0


def _verdict(found: list[tuple[str, Board, Pair, str]]) -> str:
    """How many boards say what."""
    if not found:
        return "Not measured yet."
    counts = {word: [pair for *_, pair, one in found if one == word] for word in (SUPPORTED, CONTRADICTED, UNDECIDED)}
    parts = [
        f"{len(pairs)} {word if len(pairs) == 1 else word.replace('s it', ' it')}"
        for word, pairs in counts.items()
        if pairs
    ]
    if counts[SUPPORTED] and counts[CONTRADICTED]:
        answer = "Mixed"
    elif counts[SUPPORTED]:
        answer = "Supported" if not counts[UNDECIDED] else "Supported in part"
    elif counts[CONTRADICTED]:
        answer = "Contradicted" if not counts[UNDECIDED] else "Contradicted in part"
    else:
        answer = "Undecided"
    return f"{answer}: of {len(found)} board{'' if len(found) == 1 else 's'}, {', '.join(parts)}."


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else ''}{show.score(value)}"


def main() -> None:
    replace_between(PAGE, "claims", page_part())


if __name__ == "__main__":
    main()
