"""Writes the figures of docs/performance.md and docs/small-gpus.md, and the README's few, from benchmarks/speed.

python tools/performance.py
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from peft_bottleneck_bench.speed.candidates import AS_WIDE
from peft_bottleneck_bench.speed.report import duration, percent
from peft_bottleneck_bench.speed.rounds import paired_ratio

ROOT = Path(__file__).parents[1]
PAGE, SMALL, README = ROOT / "docs" / "performance.md", ROOT / "docs" / "small-gpus.md", ROOT / "README.md"
RECORDS = ROOT / "benchmarks" / "speed"
BEGIN, END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"
METHODS = ("houlsby", "pfeiffer", "parallel_adapter")
MEMORY = "training memory at 64, 128, 256 tokens"
# The rows that the README has.
SUMMARY = (
    "training step, the six products of every houlsby bottleneck, alone, to the frozen floor",
    "training step, the houlsby bottlenecks, alone, to the frozen floor",
    "training step, houlsby as bare calls to the frozen floor",
    "training step, houlsby to the frozen floor",
    "training step, lora to the frozen floor",
    "training step, houlsby to its bare calls",
    "training step, houlsby to lora",
    "training step, houlsby to AdapterHub's",
    "training step, houlsby in the upper half to all blocks",
    "training step, the floor of the upper half to all blocks",
    "inference on one short text, houlsby to the base",
    "inference on one short text, houlsby, bare calls in PEFT to the base",
    "inference on one short text, houlsby to its bare calls in PEFT",
    "inference on one text, houlsby to the base",
    "inference on one text, houlsby, bare calls in PEFT to the base",
    "inference on one text, lora to the base",
    "inference on one text, parallel_adapter, folded to the base",
    "inference on one short text, houlsby (adapterhub) to the base",
    "inference on one short text, lora to the base",
    "inference on one short text, parallel_adapter, folded to the base",
    f"{MEMORY}, houlsby",
    f"{MEMORY}, lora",
    f"{MEMORY}, houlsby (adapterhub)",
    "import, beside PEFT's own",
)
# Of a training step, computed outside any model.
ALONE = {
    "products alone": "training step, the six products of every houlsby bottleneck, alone, to the frozen floor",
    "bottlenecks alone": "training step, the houlsby bottlenecks, alone, to the frozen floor",
}
INFERENCE = {
    "infer_short": "inference on one short text",
    "infer_one": "inference on one text",
    "infer_batch": "inference on a batch",
    "generate": "generation",
}
Record = dict[str, Any]
Row = tuple[str, str, Callable[[Record], str]]  # what, its target, and its figure in a record
Part = tuple[list[Record], list[Row]]  # of a table: one record for each model


def records() -> list[Record]:
    """Of the command `speed`, by the name of the model."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RECORDS.glob("*.json"))]
    return [record for record in found if "memory" in record]


def closely(benchmark_name: str) -> list[Record]:
    """Of `benchmarks/training.py` or `benchmarks/inference.py`, in the order of `records`."""
    return [benchmark(f"{benchmark_name}_{record['model']['name']}") for record in records()]


def benchmark(name: str) -> Record:
    """Of one of the benchmarks of the harness."""
    record: Record = json.loads((RECORDS / f"{name}.json").read_text(encoding="utf-8"))
    return record


def figures() -> str:
    """Everything between the marks of the page."""
    training, inference, rest = parts()
    shown = [
        _setting(rest[0]),
        f"Training steps over {_builds(training)} builds:",
        _table(training),
        f"Inference over {_builds(inference)} builds:",
        _table(inference),
        f"Inference of further candidates over {_builds(rest)} builds, memory and handling:",
        _table(rest),
        *_others(),
    ]
    return "\n\n".join(shown) + "\n"


def summary() -> str:
    """Everything between the marks of the README."""
    return _table(*((found, [row for row in rows if row[0] in SUMMARY]) for found, rows in parts())) + "\n"


def parts() -> list[Part]:
    """Training steps, inference, and what they leave of all that `peft-bottleneck speed` measures."""
    training, inference = (closely("training"), _training_rows()), (closely("inference"), _inference_rows())
    closer = {row[0] for row in inference[1]}
    return [training, inference, (records(), [row for row in _rows() if row[0] not in closer])]


def _builds(part: Part) -> str:
    return " and ".join(str(record["repeats"]) for record in part[0])


def small() -> str:
    """Everything between the marks of the page on small GPUs."""
    record = benchmark("small_gpus")
    rows, tokens = record["batch"]
    entries = {(entry["base"], entry["checkpointing"], entry["method"]): entry for entry in record["entries"]}
    methods = list(dict.fromkeys(entry["method"] for entry in record["entries"]))
    lines = [
        "| base | checkpointing | held | " + " | ".join(methods) + " |",
        "| --- | --- | --- |" + " --- |" * len(methods),
    ]
    for base, checkpointing in dict.fromkeys((entry["base"], entry["checkpointing"]) for entry in record["entries"]):
        found = [entries.get((base, checkpointing, method)) for method in methods]
        peaks = ["" if entry is None else _mebibytes(entry["held_bytes"] + entry["added_bytes"]) for entry in found]
        held = _mebibytes(entries[base, checkpointing, "houlsby"]["held_bytes"])
        lines.append(f"| {base} | {'yes' if checkpointing else 'no'} | {held} | " + " | ".join(peaks) + " |")
    versions = record["versions"]
    setting = (
        f"MiB on an {record['hardware']['device']} at {rows}×{tokens} tokens; torch {versions['torch']}, transformers "
        f"{versions['transformers']}, PEFT {versions['peft']}. *Held*: the base with Houlsby adapters; the rest: the "
        "peak of a training step with each method, the model included."
    )
    return "\n".join([setting, "", *lines]) + "\n"


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.0f}"


def _table(*parts: Part) -> str:
    """Rows of records of the same models, which are the columns."""
    names = [f"{record['model']['name']}, {record['batch'][0]}×{record['batch'][1]}" for record in parts[0][0]]
    lines = ["| what | target | " + " | ".join(names) + " |", "| --- | --- |" + " --- |" * len(names)]
    for found, rows in parts:
        for what, target, figure in rows:
            cells = [figure(record) for record in found]
            if any(cells):
                lines.append(f"| {what} | {target} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _setting(found: list[Record]) -> str:
    hardware, own, peer = found[0]["hardware"], found[0]["versions"], found[0]["peer_versions"]
    return (
        f"{hardware['processor']}, {hardware['cores']} threads; torch {own['torch']}, "
        f"transformers {own['transformers']}, PEFT {own['peft']}; the peer: adapters {peer['adapters']} with "
        f"transformers {peer['transformers']}. Medians over builds of all models, in brackets the 95 % interval."
    )


def _others() -> list[str]:
    outside, score = benchmark("harness_overhead")["outside_share"], benchmark("time_to_score")
    ratio, turns = score["ratio"], score["turns"]
    ours, theirs = (median(turn["seconds"][side] for turn in turns) for side in ("harness", "tutorial"))
    return [
        f"The harness on SST-2 with MiniLM: {outside * 100:.1f} % of the wall time after the first epoch is neither "
        "forward, backward nor optimiser (target: 10 %).",
        f"A validation accuracy of {score['target']} there, with {len(turns)} seeds: {ours:.0f} s of training in the "
        f"harness and {theirs:.0f} s in the tutorial's loop (medians). Seed by seed the loop takes "
        f"{ratio['median']:.1f} times as long (median; {ratio['low']:.1f} to {ratio['high']:.1f}; target: 3).",
    ]


def _compared(what: str, limit: float | None, quantity: str, own: str, other: str) -> Row:
    target = "" if limit is None else f"≤ {percent(1 + limit)}" if limit else "no slower"
    return what, target, lambda record: _ratio(record, quantity, own, other, limit)


def _training_rows() -> list[Row]:
    """What `benchmarks/training.py` measures."""
    floor, bare = "floor of houlsby", "houlsby, bare calls"

    def compare(what: str, limit: float | None, own: str, other: str) -> Row:
        return _compared(f"training step, {what}", limit, "train", own, other)

    rows: list[Row] = [(what, "", partial(_alone, name=name)) for name, what in ALONE.items()]
    rows.append(compare("houlsby as bare calls to the frozen floor", None, bare, floor))
    rows += [compare(f"{name} to the frozen floor", 0.03, name, f"floor of {name}") for name in METHODS]
    rows += [compare(f"{name} to the frozen floor", None, name, floor) for name in ("lora", "ia3", "full")]
    rows.append(compare("houlsby to its bare calls", None, "houlsby", bare))
    rows.append(compare("houlsby to lora", 0.0, "houlsby", "lora"))
    rows += [compare(f"{name} to AdapterHub's", 0.0, name, f"{name} (adapterhub)") for name in METHODS]
    rows.append(compare("houlsby in the upper half to all blocks", -0.25, "houlsby, upper half", "houlsby"))
    rows.append(compare("the floor of the upper half to all blocks", None, f"{floor}, upper half", floor))
    rows.append(compare("houlsby, 64 adapters loaded to one", 0.0, "houlsby, 64 loaded", "houlsby"))
    return rows


def _inference_rows() -> list[Row]:
    """What `benchmarks/inference.py` measures."""
    rows: list[Row] = []
    for quantity, words in INFERENCE.items():
        single = {"houlsby": 0.06} if quantity in ("infer_short", "infer_one") else {}
        limits = {"parallel_adapter, folded": 0.02, **single}
        for name in ("houlsby", "houlsby, bare calls in PEFT", "lora", "parallel_adapter, folded", AS_WIDE):
            rows.append(_compared(f"{words}, {name} to the base", limits.get(name), quantity, name, "base"))
        own, other = f"{words}, houlsby to its bare calls in PEFT", "houlsby, bare calls in PEFT"
        rows.append(_compared(own, None, quantity, "houlsby", other))
        own = f"{words}, parallel_adapter, folded to the {AS_WIDE}"
        rows.append(_compared(own, None, quantity, "parallel_adapter, folded", AS_WIDE))
    return rows


def _rows() -> list[Row]:
    """What `peft-bottleneck speed` measures, but training steps."""
    methods = [*METHODS, *(f"{method} (adapterhub)" for method in METHODS)]
    bare = "houlsby, bare calls"
    inferring = (*methods, bare, f"{bare} in PEFT", "parallel_adapter, folded", "lora", "ia3")
    rows: list[Row] = []
    for quantity, words in INFERENCE.items():
        rows += [_compared(f"{words}, {name} to the base", None, quantity, name, "base") for name in inferring]
    for method in METHODS:
        others = ("lora", f"{method} (adapterhub)")
        rows.append((f"{MEMORY}, {method}", "≤ both", partial(_memory, candidate=method, others=others)))
    for name in ("lora", *methods[len(METHODS) :], "full"):
        rows.append((f"{MEMORY}, {name}", "", partial(_memory, candidate=name)))
    for quantity in ("inject", "switch", "load"):
        for name in ("houlsby", "lora", "houlsby (adapterhub)"):
            rows.append((f"{quantity}, {name}", "", partial(_median, quantity=quantity, candidate=name)))
    rows.append(("import, beside PEFT's own", "≤ 50 ms", lambda record: _import(0.050)))
    return rows


def _entry(record: Record, quantity: str, candidate: str) -> Record | None:
    found = (entry for entry in record["times"] if (entry["quantity"], entry["candidate"]) == (quantity, candidate))
    return next(found, None)


def _alone(record: Record, name: str) -> str:
    """What is computed alone is all added to the floor."""
    entry = _entry(record, "train", name)
    assert entry is not None
    middle, low, high = (percent(1 + entry["ratio"][part]) for part in ("median", "low", "high"))
    return f"{middle} ({low} to {high})"


def _ratio(record: Record, quantity: str, own: str, other: str, limit: float | None) -> str:
    """The ratio with its interval, and whether that lies below the limit, above it, or on both sides.

    Where the limit is the other's own time, an interval on both sides is a tie.
    """
    first, second = _entry(record, quantity, own), _entry(record, quantity, other)
    if first is None or second is None:
        return ""
    ratio = paired_ratio(first["seconds"], second["seconds"], first["turns_per_repetition"])
    text = f"{percent(ratio['median'])} ({percent(ratio['low'])} to {percent(ratio['high'])})"
    if limit is None:
        return text
    undecided = "open" if limit else "tie"
    verdict = "met" if ratio["high"] <= 1 + limit else "missed" if ratio["low"] > 1 + limit else undecided
    return f"{text}: {verdict}"


def _median(record: Record, quantity: str, candidate: str) -> str:
    entry = _entry(record, quantity, candidate)
    return "" if entry is None else duration(entry["median"])


def _memory(record: Record, candidate: str, others: Sequence[str] = ()) -> str:
    """MiB at every length, and whether every process needed less than all of the others, or more, or neither."""
    peaks = {(entry["candidate"], entry["length"]): entry["peaks"] for entry in record["memory"]}
    lengths = [length for name, length in peaks if name == candidate]
    text = ", ".join(f"{median(peaks[candidate, length]) / 2**20:,.0f}" for length in lengths) + " MiB"
    verdicts = []
    for length in lengths if others else ():
        own, rest = peaks[candidate, length], [peaks[other, length] for other in others]
        least, most = min(map(min, rest)), min(map(max, rest))
        verdicts.append("met" if max(own) <= least else "missed" if min(own) > most else "tie")
    return f"{text}: {', '.join(verdicts)}" if verdicts else text


def _import(limit: float) -> str:
    """The same for all models."""
    seconds = benchmark("import_time")["peft_bottleneck"]["seconds"]
    middle = paired_ratio(seconds, [1.0] * len(seconds))
    verdict = "met" if middle["high"] <= limit else "missed" if middle["low"] > limit else "open"
    return f"{duration(middle['median'])} ({duration(middle['low'])} to {duration(middle['high'])}): {verdict}"


def main() -> None:
    for document, content in ((PAGE, figures()), (SMALL, small()), (README, summary())):
        before, rest = document.read_text(encoding="utf-8").split(BEGIN)
        document.write_text(before + BEGIN + content + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
