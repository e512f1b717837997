"""The command `compare`: tests which of two methods is better."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..boards.comparing import Comparison

EPILOG = """\
examples:
  peft-bottleneck compare houlsby lora
  peft-bottleneck compare houlsby lora --results runs/try --task sst2 --json
  peft-bottleneck compare results-before results-after
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to those of a parser."""
    parser = commands.add_parser(
        "compare",
        help="compare two methods, or two folders of records",
        description="Compares A and B on every task and model that both have: means, the difference with its "
        "confidence interval, the p-value of the leaderboard's test, and what follows from it in words.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words = (
        "a folder of records or a record, by its address or if there is one of this name; else a method, as the "
        "leaderboard names it"
    )
    for name in "ab":
        parser.add_argument(name, metavar=name.upper(), help=words if name == "a" else "the same")
    parser.add_argument(
        "--results", metavar="DIR", default="results", help="a folder or an address to look methods up in (results)"
    )
    parser.add_argument("--task", help="this task alone")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=_compare)


def _compare(parsed: argparse.Namespace) -> int:
    from ..boards.comparing import compare
    from ..words import visible

    found, refused = compare(parsed.a, parsed.b, parsed.results, parsed.task)
    if parsed.json:
        content = {"comparisons": [one.as_json() for one in found], "not_compared": refused}
        print(json.dumps(content, indent=2, ensure_ascii=False))
        return 0
    print("\n\n".join(_text(one) for one in found))
    for reason in refused:
        print(f"\nnot compared: {visible(reason)}")
    return 0


def _text(one: Comparison) -> str:
    """For people: a heading, both sides, the difference, the verdict."""
    from ..boards import formatting as show
    from ..statistics import LEVEL
    from ..words import visible

    seeds = ", ".join(map(str, one.seeds))
    less = "" if one.greater_is_better else ", less is better"
    width = max(map(len, (*one.names, "difference")))
    lines = [
        f"{one.task} · {one.model}",
        f"{one.metric}{less}, {one.examples} test examples, seed{'s' if len(one.seeds) > 1 else ''} {seeds}",
    ]
    for name, standing in zip(one.names, one.standings, strict=True):
        lines.append(f"  {name:<{width}}   {show.spread(standing.mean, standing.std)}")
    sign = "-" if one.difference < 0 else "+"
    interval = f"{LEVEL:.0%} interval {show.interval(one.interval)}"
    lines.append(f"  {'difference':<{width}}  {sign}{show.score(abs(one.difference))}, {interval}")
    lines.append(f"  {show.p_value(one.p_value)} for this pair alone")
    if one.pairs > 1:
        lines[-1] += f", {show.p_value(one.corrected)} corrected for {one.pairs} pairs"
    why = [one.why_both] if one.why_both else []
    return "\n".join(map(visible, [*lines, one.verdict, *why, *one.notes]))
