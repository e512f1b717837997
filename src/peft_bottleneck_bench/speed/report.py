"""The record as files: JSON, a table in Markdown, and a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import replacing
from . import picture

if TYPE_CHECKING:
    from rich.table import Table

Record = Mapping[str, Any]

#: What each quantity is called, in the order of the tables.
QUANTITIES: dict[str, str] = {
    "train": "training step",
    "infer_short": "inference 1×{short_length}",
    "infer_one": "inference 1×{tokens}",
    "infer_batch": "inference {rows}×{tokens}",
    "generate": "generation, per token",
    "inject": "inject",
    "switch": "switch",
    "load": "load",
}


def heading(record: Record, quantity: str) -> str:
    """The words for a quantity, with the shapes of this record."""
    rows, tokens = record["batch"]
    return QUANTITIES[quantity].format(rows=rows, tokens=tokens, short_length=record["short_length"])


def cells(record: Record) -> dict[str, dict[str, str]]:
    """The table: candidate to column to text, a missing figure being absent."""
    found: dict[str, dict[str, str]] = {name: {} for name in record["candidates"]}
    for entry in record["times"]:
        found[entry["candidate"]][heading(record, entry["quantity"])] = _time(entry)
    for entry in record["memory"]:
        column = f"training memory at {entry['length']}"
        found[entry["candidate"]][column] = f"{entry['added_bytes'] / 2**20:,.0f} MiB"
    return found


def columns(record: Record) -> list[str]:
    """Those of `cells`, in order."""
    times = [heading(record, quantity) for quantity in QUANTITIES]
    there = {column for row in cells(record).values() for column in row}
    return [column for column in times if column in there] + sorted(
        there - set(times), key=lambda name: (len(name), name)
    )


def table(record: Record) -> Table:
    """For the terminal: candidates by quantities."""
    from rich.table import Table

    shown = Table(box=None, header_style="bold", title=title(record), title_justify="left")
    shown.add_column("candidate")
    names = columns(record)
    for name in names:
        shown.add_column(name, justify="right")
    for candidate, row in cells(record).items():
        shown.add_row(candidate, *(row.get(name, "") for name in names))
    return shown


def title(record: Record) -> str:
    """What was measured where."""
    rows, tokens = record["batch"]
    hardware = record["hardware"]
    device = "" if record["device"] == "cpu" else f"{hardware['device']}, "
    dtype = record.get("dtype", "float32")  # records of before there was a choice do not say
    return (
        f"{record['model']['name']} in {dtype}, batch {rows}×{tokens}, {record['repeats']} repetitions, "
        f"{device}{hardware['processor']} ({hardware['cores']} threads)"
    )


def markdown(record: Record) -> str:
    """The same table for a page, one quantity after the other, with the intervals."""
    lines = [f"# {title(record)}", ""]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    lines += [f"Measured {record['started']} with {versions}."]
    if record["peer_versions"]:
        lines += ["The peer: " + ", ".join(f"{name} {version}" for name, version in record["peer_versions"].items())]
    for quantity in QUANTITIES:
        entries = [entry for entry in record["times"] if entry["quantity"] == quantity]
        if entries:
            lines += ["", f"## {heading(record, quantity).capitalize()}", ""]
            lines += [
                "| candidate | median | quartiles | ratio | 95 % interval | to |",
                "| --- | --- | --- | --- | --- | --- |",
            ]
            lines += [_markdown_row(entry) for entry in entries]
    lengths = list(dict.fromkeys(entry["length"] for entry in record["memory"]))
    lines += ["", "## Memory that training adds to the loaded model, in MiB: median of processes, least and most", ""]
    lines += ["| candidate | " + " | ".join(f"{length} tokens" for length in lengths) + " |"]
    lines += ["| --- |" + " --- |" * len(lengths)]
    for candidate in dict.fromkeys(entry["candidate"] for entry in record["memory"]):
        added = [_mebibytes(entry) for entry in record["memory"] if entry["candidate"] == candidate]
        lines += [f"| {candidate} | " + " | ".join(added) + " |"]
    after = record["import_seconds"]["peft_bottleneck"]["median"]
    peft = record["import_seconds"]["peft"]["median"]
    lines += [
        "",
        f"Importing this package takes {after * 1e3:.0f} ms after PEFT, whose own import takes {peft:.1f} s.",
    ]
    return "\n".join(lines) + "\n"


def write(record: Record, folder: Path) -> list[Path]:
    """Writes `<model>.json`, `.md`, `.png` and `.svg` into a folder."""
    stem = folder / record["model"]["name"].replace("/", "--")
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    written = []
    for suffix, content in ((".json", text), (".md", markdown(record))):
        path = stem.with_name(stem.name + suffix)
        with replacing(path) as file:
            file.write(content.encode())
        written.append(path)
    return [*written, *picture.write(record, stem)]


def _time(entry: Record) -> str:
    if entry["ratio"] is None:
        return duration(entry["median"])
    return f"{duration(entry['median'])} ({percent(entry['ratio']['median'])})"


def _markdown_row(entry: Record) -> str:
    spread = f"{duration(entry['first_quartile'])} to {duration(entry['third_quartile'])}"
    ratio = entry["ratio"]
    if ratio is None:
        return f"| {entry['candidate']} | {duration(entry['median'])} | {spread} | | | |"
    interval = f"{percent(ratio['low'])} to {percent(ratio['high'])}"
    return (
        f"| {entry['candidate']} | {duration(entry['median'])} | {spread} | {percent(ratio['median'])} | {interval} | "
        f"{entry['reference']} |"
    )


def _mebibytes(entry: Record) -> str:
    figures = (entry["added_bytes"], min(entry["peaks"]), max(entry["peaks"]))
    return "{} ({} to {})".format(*(f"{value / 2**20:,.0f}" for value in figures))


def duration(seconds: float) -> str:
    """In milliseconds, with three digits."""
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else f"{seconds * 1e3:.0f} ms"  # 1000 ms, not 1e+03


def percent(ratio: float) -> str:
    """What a ratio adds to the reference: 1.031 is +3.1 %."""
    return f"{(ratio - 1) * 100:+.1f} %"
