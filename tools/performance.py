"""Writes the figures of docs/performance.md, and the README's few, from the records in benchmarks/speed.

python tools/performance.py
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from peft_bottleneck.bench.speed.report import duration, percent
from peft_bottleneck.bench.speed.rounds import paired_ratio

ROOT = Path(__file__).parents[1]
PAGE, README, RECORDS = ROOT / "docs" / "performance.md", ROOT / "README.md", ROOT / "benchmarks" / "speed"
BEGIN, END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"
METHODS = ("houlsby", "pfeiffer", "parallel_adapter")
# The rows that the README has.
SUMMARY = (
    "training step, houlsby to the frozen floor",
    "training step, houlsby to lora",
    "training step, houlsby to AdapterHub's",
    "inference on one short text, houlsby to the base",
    "inference on one short text, houlsby, bare calls to the base",
    "inference on one short text, lora to the base",
    "inference on one short text, parallel_adapter, folded to the base",
    "training memory, houlsby",
    "training memory, lora",
    "training memory, houlsby (adapterhub)",
    "import, beside PEFT's own",
)
Record = dict[str, Any]
Row = tuple[str, str, Callable[[Record], str]]  # what, its target, and its figure in a record


def records() -> list[Record]:
    """Of the command `speed`, by the name of the model."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RECORDS.glob("*.json"))]
    return [record for record in found if "times" in record]


def benchmark(name: str) -> Record:
    """Of one of the benchmarks of the harness."""
    record: Record = json.loads((RECORDS / f"{name}.json").read_text(encoding="utf-8"))
    return record


def figures() -> str:
    """Everything between the marks of the page."""
    found = records()
    return "\n\n".join([_setting(found), _table(found, _rows()), *_others()]) + "\n"


def summary() -> str:
    """Everything between the marks of the README."""
    return _table(records(), [row for row in _rows() if row[0] in SUMMARY]) + "\n"


def _table(found: list[Record], rows: list[Row]) -> str:
    shapes = [f"{record['model']['name']}, {record['batch'][0]}×{record['batch'][1]}" for record in found]
    lines = ["| what | target | " + " | ".join(shapes) + " |", "| --- | --- |" + " --- |" * len(found)]
    for what, target, figure in rows:
        cells = [figure(record) for record in found]
        if any(cells):
            lines.append(f"| {what} | {target} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _setting(found: list[Record]) -> str:
    hardware, own, peer = found[0]["hardware"], found[0]["versions"], found[0]["peer_versions"]
    repeats = " and ".join(str(record["repeats"]) for record in found)
    return (
        f"{hardware['processor']}, {hardware['cores']} threads; torch {own['torch']}, "
        f"transformers {own['transformers']}, PEFT {own['peft']}; the peer: adapters {peer['adapters']} with "
        f"transformers {peer['transformers']}. Medians of {repeats} repetitions, in brackets the 95 % interval."
    )


def _others() -> list[str]:
    bound, outside = benchmark("bound"), benchmark("harness_overhead")["outside_share"]
    score = benchmark("time_to_score")
    ratio, turns = score["ratio"], score["turns"]
    ours, theirs = (median(turn["seconds"][side] for turn in turns) for side in ("harness", "tutorial"))
    return [
        f"The products of Houlsby adapters alone, as bare calls of torch: {bound['products_seconds'] * 1e3:.0f} ms in "
        f"a training step of MiniLM, {bound['share'] * 100:.1f} % of the fastest step of the frozen floor.",
        f"The harness on SST-2 with MiniLM: {outside * 100:.1f} % of the wall time after the first epoch is neither "
        "forward, backward nor optimiser (target: 10 %).",
        f"A validation accuracy of {score['target']} there, with {len(turns)} seeds: {ours:.0f} s of training in the "
        f"harness and {theirs:.0f} s in the tutorial's loop (medians). Seed by seed the loop takes "
        f"{ratio['median']:.1f} times as long (median; {ratio['low']:.1f} to {ratio['high']:.1f}; target: 3).",
    ]


def _rows() -> list[Row]:
    rows: list[Row] = []

    def compare(what: str, limit: float | None, quantity: str, own: str, other: str) -> None:
        target = "" if limit is None else f"≤ {percent(1 + limit)}" if limit else "no slower"
        rows.append((what, target, lambda record: _ratio(record, quantity, own, other, limit)))

    for method in METHODS:
        compare(f"training step, {method} to the frozen floor", 0.03, "train", method, f"floor of {method}")
    bare = "houlsby, bare calls"
    compare("training step, houlsby as bare calls to the frozen floor", None, "train", bare, "floor of houlsby")
    compare("training step, houlsby to its bare calls", None, "train", "houlsby", bare)
    for baseline in ("lora", "ia3", "full"):
        compare(f"training step, {baseline} to houlsby's floor", None, "train", baseline, "floor of houlsby")
    compare("training step, houlsby to lora", 0.0, "train", "houlsby", "lora")
    for method in METHODS:
        compare(f"training step, {method} to AdapterHub's", 0.0, "train", method, f"{method} (adapterhub)")
    compare("training step, houlsby in the upper half to all blocks", -0.25, "train", "houlsby, upper half", "houlsby")
    floor = "floor of houlsby"
    compare("training step, the floor of the upper half to all blocks", None, "train", f"{floor}, upper half", floor)
    compare("training step, houlsby, 64 adapters loaded to one", 0.0, "train", "houlsby, 64 loaded", "houlsby")
    for quantity, words in (("infer_short", "one short text"), ("infer_one", "one text"), ("infer_batch", "a batch")):
        limits = {"parallel_adapter, folded": 0.02, **({"houlsby": 0.06} if quantity == "infer_short" else {})}
        for name in ("houlsby", bare, "lora", "pfeiffer", "pfeiffer (adapterhub)", "parallel_adapter, folded"):
            compare(f"inference on {words}, {name} to the base", limits.get(name), quantity, name, "base")
    for name in ("houlsby", "lora", "pfeiffer", "pfeiffer (adapterhub)"):
        compare(f"generation, {name} to the base", None, "generate", name, "base")
    for method in METHODS:
        rows.append((f"training memory, {method}", "≤ both below", lambda record, name=method: _memory(record, name)))  # type: ignore[misc]
    for name in ("lora", *(f"{method} (adapterhub)" for method in METHODS), "full"):
        rows.append((f"training memory, {name}", "", lambda record, name=name: _memory(record, name)))  # type: ignore[misc]
    for quantity in ("inject", "switch", "load"):
        for name in ("houlsby", "lora", "houlsby (adapterhub)"):
            rows.append((f"{quantity}, {name}", "", lambda record, q=quantity, name=name: _median(record, q, name)))  # type: ignore[misc]
    rows.append(("import, beside PEFT's own", "≤ 50 ms", _import))
    return rows


def _seconds(record: Record, quantity: str, candidate: str) -> list[float] | None:
    for entry in record["times"]:
        if (entry["quantity"], entry["candidate"]) == (quantity, candidate):
            seconds: list[float] = entry["seconds"]
            return seconds
    return None


def _ratio(record: Record, quantity: str, own: str, other: str, limit: float | None) -> str:
    """The ratio with its interval, and whether that lies below the limit, above it, or on both sides.

    Where the limit is the other's own time, an interval on both sides is a tie.
    """
    first, second = _seconds(record, quantity, own), _seconds(record, quantity, other)
    if first is None or second is None:
        return ""
    ratio = paired_ratio(first, second)
    text = f"{percent(ratio['median'])} ({percent(ratio['low'])} to {percent(ratio['high'])})"
    if limit is None:
        return text
    undecided = "open" if limit else "tie"
    verdict = "met" if ratio["high"] <= 1 + limit else "missed" if ratio["low"] > 1 + limit else undecided
    return f"{text}: {verdict}"


def _median(record: Record, quantity: str, candidate: str) -> str:
    for entry in record["times"]:
        if (entry["quantity"], entry["candidate"]) == (quantity, candidate):
            return duration(entry["median"])
    return ""


def _memory(record: Record, candidate: str) -> str:
    """MiB at every length."""
    found = [entry for entry in record["memory"] if entry["candidate"] == candidate]
    return ", ".join(f"{entry['added_bytes'] / 2**20:,.0f} MiB at {entry['length']}" for entry in found)


def _import(record: Record) -> str:
    return f"{record['import_seconds']['peft_bottleneck']['median'] * 1e3:.0f} ms"


def main() -> None:
    for document, content in ((PAGE, figures()), (README, summary())):
        before, rest = document.read_text(encoding="utf-8").split(BEGIN)
        document.write_text(before + BEGIN + content + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
