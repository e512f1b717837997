"""What guides say was measured, from the records in `benchmarks/`: one function for each passage.

`python tools/performance.py` writes them between the marks of their guides.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from committed import ROOT, boards_of

from peft_bottleneck_bench.boards import Row
from peft_bottleneck_bench.boards import formatting as show
from peft_bottleneck_bench.speed.report import milliseconds
from peft_bottleneck_bench.statistics import LEVEL

RECORDS = ROOT / "benchmarks" / "speed"
SCORES = ROOT / "benchmarks" / "scores"
GUIDES = ROOT / "docs" / "guides"
UNMEASURED = "No measurement is committed yet; the command prints one, and `--record` keeps it.\n"


def read(name: str) -> Any:
    return json.loads((RECORDS / f"{name}.json").read_text(encoding="utf-8"))


def small() -> str:
    """The peaks of training on a GPU."""
    record = read("small_gpus")
    rows, tokens = record["batch"]
    entries = {(entry["base"], entry["checkpointing"], entry["method"]): entry for entry in record["entries"]}
    methods = list(dict.fromkeys(entry["method"] for entry in record["entries"]))
    lines = [
        "| base | checkpointing | held | " + " | ".join(methods) + " |",
        "| --- | --- | --- |" + " --- |" * len(methods),
    ]
    for base, checkpointing in dict.fromkeys((entry["base"], entry["checkpointing"]) for entry in record["entries"]):
        found = [entries.get((base, checkpointing, method)) for method in methods]
        peaks = ["" if entry is None else mebibytes(entry["held_bytes"] + entry["added_bytes"]) for entry in found]
        held = mebibytes(entries[base, checkpointing, "houlsby"]["held_bytes"])
        lines.append(f"| {base} | {'yes' if checkpointing else 'no'} | {held} | " + " | ".join(peaks) + " |")
    versions = record["versions"]
    words = (
        f"MiB on an {record['hardware']['device']} at {rows}×{tokens} tokens; torch {versions['torch']}, transformers "
        f"{versions['transformers']}, PEFT {versions['peft']}. *Held*: the base with Houlsby adapters; the rest: the "
        "peak of a training step with each method, the model included."
    )
    return "\n".join([words, "", *lines]) + "\n"


def predicted() -> str:
    """Predicted peaks of memory beside measured ones."""
    record = read("memory_check")
    rows, tokens = record["batch"]
    lines = ["| method | precision | checkpointing | predicted | measured | ratio |", "| --- |" + " --- |" * 5]
    for entry in record["entries"]:
        expected, found = entry["predicted_bytes"], entry["measured_bytes"]
        again = "yes" if entry["checkpointing"] else "no"
        lines.append(
            f"| {entry['method']} | {entry['precision']} | {again} | {mebibytes(expected)} | {mebibytes(found)} | "
            f"{expected / found:.2f} |"
        )
    words = f"MiB that two training steps of MiniLM at {rows}×{tokens} tokens add to a process, on a CPU."
    return "\n".join([words, "", *lines]) + "\n"


def serving() -> str:
    """Latencies of the examples that serve."""
    record = read("serving")
    lines = ["| example | candidate | latency | to the base |", "| --- | --- | --- | --- |"]
    for entry in record["entries"]:
        alike = entry["candidate"] == "base"
        found = "" if alike else "{:.2f} × ({:.2f} to {:.2f})".format(*_spread(entry["ratio"]))
        example, candidate = entry["example"], entry["candidate"]
        lines.append(f"| `{example}.py` | {candidate} | {milliseconds(entry['seconds'])} | {found} |")
    words = f"{_machine(record)}; {record['rounds']} calls of each, in turns; medians, with the 95 % interval."
    return "\n".join([*lines, "", words]) + "\n"


def jobs() -> str:
    """The demo's grid with one run at a time and with two."""
    record = read("makespan")
    alone, *others = record["entries"]
    found = "".join(f", with {entry['jobs']} at once {entry['seconds']:.0f} s" for entry in others)
    turns = "measured once" if record["turns"] == 1 else f"medians of {record['turns']} turns"
    return f"It took {alone['seconds']:.0f} s with one run at a time{found} ({_machine(record)}; {turns}).\n"


def cluster() -> str:
    """What Ray adds to a run."""
    record = read("ray_overhead")
    found = record["seconds"]
    return (
        f"On a Ray cluster of {record['nodes']} nodes, processes of one machine ({_machine(record)}), "
        f"{record['runs']:,} runs of {milliseconds(record['task_seconds'])} took {milliseconds(found['all'])} each: "
        f"{milliseconds(found['first'])} over the first {record['part']}, {milliseconds(found['last'])} over the last "
        f"(medians of {len(record['turns'])} turns).\n"
    )


def mixed() -> str:
    """The throughput of batches with an adapter for each row."""
    record = read("mixed_batch")
    lines = ["| tokens a row |" + "".join(f" {count} adapters |" for count in ("8", "64")), "| --- | --- | --- |"]
    for tokens, ratios in sorted(record["ratios"].items(), key=lambda item: -int(item[0])):
        cells = ("{:.2f} ({:.2f} to {:.2f})".format(*_spread(ratios[count])) for count in ("8", "64"))
        lines.append(f"| {tokens} | " + " | ".join(cells) + " |")
    words = (
        f"Throughput of {record['rows']} rows as a share of that with one adapter, MiniLM ({_machine(record)}): "
        "medians and quartiles."
    )
    return "\n".join([words, "", *lines]) + "\n"


def generation() -> str:
    """Token by token, with an adapter for each row."""
    record = read("mixed_generation")
    one, many = (record["seconds"][name]["median"] for name in ("one", "mixed"))
    bound = record["seconds_to_read"]
    rows, read_one, read_many = record["rows"], bound["one"], bound["mixed"]
    return (
        f"Generation with SmolLM2, {rows} rows, float32 ({_machine(record)}): a token takes {milliseconds(one)} with "
        f"one adapter and {milliseconds(many)} with {rows}, {many / one:.2f} times as long. Reading all weights once "
        f"takes {milliseconds(read_many)}, and those of the base and one adapter {milliseconds(read_one)}: with so "
        f"many rows, a token with one adapter already takes {one / read_one:.0f} times as long as reading does.\n"
    )


def shelf() -> str:
    """The rate of a thousand adapters on disk."""
    record = read("thousand_adapters")
    alone, shelf = record["entries"]
    return (
        f"With {record['tokens']} tokens a request ({_machine(record)}): {alone['requests_per_second']:.0f} requests "
        f"a second with one adapter in memory, {shelf['requests_per_second']:.0f} with {shelf['served']} "
        f"({shelf['loads']:,} loads in {record['requests']:,} requests; medians of {record['turns']} turns).\n"
    )


def prefix() -> str:
    """Steps, and whole trainings, with the frozen prefix reused."""
    encoder, decoder = read("frozen_prefix")["models"].values()
    half = ["{:.3f} ({:.3f} to {:.3f})".format(*_spread(one["ratios"]["upper_half"])) for one in (encoder, decoder)]
    head = ["{:.3f}".format(one["ratios"]["head_prefix"]["median"]) for one in (encoder, decoder)]
    batch = [one["batch"].replace("x", "×") for one in (encoder, decoder)]
    words = (
        f"From the second epoch, a step of Houlsby adapters in the upper half takes {half[0]} of one with adapters in "
        f"all blocks on MiniLM, {batch[0]}, and {half[1]} on SmolLM2, {batch[1]}, whose head over a large vocabulary "
        f"runs in every step (medians and quartiles). With a trained head alone, what replaces the base takes "
        f"{head[0]} of a forward pass on MiniLM and {head[1]} on SmolLM2."
    )
    return f"{words}\n\n{_whole_trainings()}\n"


def _whole_trainings() -> str:
    """Each comparison tests one pair alone: a correction for several pairs would make it easier to find a tie."""
    (board,) = boards_of(SCORES / "frozen_prefix")
    rows = {row.method: row for row in board.rows}
    every, reused, wide = rows["all blocks"], rows["upper half reused"], rows["upper half reused, twice as wide"]
    times = [row.train_seconds for row in (every, reused, wide) if row.train_seconds is not None]
    if board.ranking is None or len(times) < len(rows):
        raise ValueError(f"{SCORES / 'frozen_prefix'}: expected complete runs on a quiet machine")
    verdicts = []
    for row in (reused, wide):
        pair = board.ranking.between(every.method, row.method)
        separated = "worse" if pair.p_value < 1 - LEVEL else "a tie"
        verdicts.append(f"{_score(row)}: {separated} ({show.p_value(pair.p_value)} for this pair alone)")
    return (
        f"Whole trainings on SST-2 ({board.record.data.counts.train:,} sentences, three epochs, means over "
        f"{len(every.runs)} seeds, not side by side) take {times[0]:.0f} s with adapters in all blocks. With the "
        f"upper half and reuse they take {times[1]:.0f} s, {times[1] / times[0]:.2f} of that, and with bottlenecks of "
        f"twice the size there, so that as many parameters are trained, {times[2]:.0f} s, {times[2] / times[0]:.2f}. "
        f"The {board.main_metric} with all blocks is {_score(every)}. With the upper half it is {verdicts[0]}; with "
        f"twice the size {verdicts[1]}. More than reuse differs: no adapters and no dropout in the lower half."
    )


def _score(row: Row) -> str:
    return show.spread(row.standing.mean, row.standing.std) if row.standing else show.NONE


def _spread(found: dict[str, float]) -> tuple[float, float, float]:
    return found["median"], found["low"], found["high"]


def _machine(record: Any) -> str:
    """`2 cores, AMD EPYC`, or the accelerator."""
    hardware = record["hardware"]
    if hardware["device"] != "cpu":
        return str(hardware["device"])
    return f"{hardware['cores']} cores, {hardware['processor']}"


def mebibytes(size: float) -> str:
    return f"{size / 2**20:,.0f}"


# The guide, the name of the marks in it, the passage, and its record.
PASSAGES: tuple[tuple[Path, str, Callable[[], str], str], ...] = (
    (GUIDES / "small-gpus.md", "figures", small, "small_gpus"),
    (GUIDES / "small-gpus.md", "predicted", predicted, "memory_check"),
    (GUIDES / "folding-and-serving.md", "serving", serving, "serving"),
    (GUIDES / "many-devices.md", "jobs", jobs, "makespan"),
    (GUIDES / "many-devices.md", "cluster", cluster, "ray_overhead"),
    (GUIDES / "several-adapters.md", "mixed", mixed, "mixed_batch"),
    (GUIDES / "several-adapters.md", "generation", generation, "mixed_generation"),
    (GUIDES / "several-adapters.md", "shelf", shelf, "thousand_adapters"),
    (GUIDES / "frozen-prefix.md", "prefix", prefix, "frozen_prefix"),
)


def passages() -> list[tuple[Path, str, str]]:
    """Each guide, the name of its marks and what belongs between them; without a record, that there is none."""
    return [
        (guide, name, passage() if (RECORDS / f"{record}.json").exists() else UNMEASURED)
        for guide, name, passage, record in PASSAGES
    ]
