"""Records of speed as tables, for the terminal, for a file beside the record, and for the pages of the project."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from ..files import replacing
from .rounds import Record

if TYPE_CHECKING:
    from rich.console import RenderableType


#: The heading of each quantity, in the order of the tables.
QUANTITIES: dict[str, str] = {
    "train": "training step",
    "infer_short": "inference, one short text",
    "infer_one": "inference, one text",
    "infer_batch": "inference, a batch",
    "generate": "generation, per token",
    "inject": "inject",
    "switch": "switch",
    "load": "load",
}
MEMORY = "memory that training adds to the loaded model, MiB"


@dataclass(frozen=True)
class Table:
    """One quantity: a row for each candidate, and a column for each record, or for each length of its memory."""

    heading: str
    columns: list[str]
    rows: list[list[str]]


def tables(records: Sequence[Record]) -> Iterator[Table]:
    """Every quantity that any of `records` has, each record in a column of its own."""
    names = [_name(record) for record in records]
    for quantity, heading in QUANTITIES.items():
        entries = [_entries(record, quantity) for record in records]
        candidates = dict.fromkeys(name for found in entries for name in found)
        rows = [[name, *(_time(found.get(name)) for found in entries)] for name in candidates]
        if rows:
            yield Table(heading, ["candidate", *names], rows)
    for record, name in zip(records, names, strict=True):
        lengths = sorted({entry["length"] for entry in record.get("memory", ())})
        found = {(entry["candidate"], entry["length"]): entry for entry in record.get("memory", ())}
        candidates = dict.fromkeys(entry["candidate"] for entry in record.get("memory", ()))
        rows = [[own, *(_mebibytes(found.get((own, length))) for length in lengths)] for own in candidates]
        if rows:
            heading = MEMORY if len(records) == 1 else f"{MEMORY}: {name}"
            yield Table(heading, ["candidate", *(f"{length} tokens" for length in lengths)], rows)


def terminal(record: Record) -> RenderableType:
    """All tables of a record."""
    from rich import table
    from rich.console import Group

    shown: list[RenderableType] = [title(record)]
    for found in tables([record]):
        part = table.Table(*found.columns, box=None, header_style="bold", title=found.heading, title_justify="left")
        for row in found.rows:
            part.add_row(*row)
        shown += ["", part]
    return Group(*shown, "", import_time(record))


def markdown(records: Sequence[Record], level: int = 2) -> str:
    """The same tables, each under a heading."""
    parts = []
    for found in tables(records):
        lines = [found.columns, ["---"] * len(found.columns), *found.rows]
        rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"{'#' * level} {found.heading[0].upper()}{found.heading[1:]}\n\n{rows}")
    return "\n\n".join(parts)


def title(record: Record) -> str:
    """The model, the batch and the machine."""
    hardware = record["hardware"]
    device = "" if record["device"] == "cpu" else f"{hardware['device']}, "
    dtype = record.get("dtype", "float32")  # older records are of that type and lack the field
    return (
        f"{_name(record)} in {dtype}, {record['repeats']} builds, {device}{hardware['processor']} "
        f"({hardware['cores']} threads)"
    )


def setting(record: Record) -> str:
    """The date and the versions."""
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    peer = ", ".join(f"{name} {version}" for name, version in record.get("peer_versions", {}).items())
    return f"Measured {record['started']} with {versions}{f'; the peer: {peer}' if peer else ''}."


def import_time(record: Record) -> str:
    """The time that importing this package adds to importing PEFT."""
    if "import_seconds" not in record:
        return ""
    after, peft = (record["import_seconds"][name]["median"] for name in ("peft_bottleneck", "peft"))
    return f"Importing this package takes {after * 1e3:.0f} ms after PEFT, whose own import takes {peft:.1f} s."


def write(record: Record, folder: Path) -> list[Path]:
    """Writes `<model>.json`, `.md`, `.png` and `.svg` into a folder."""
    from . import picture

    stem = folder / record["model"]["name"].replace("/", "--")
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    page = "\n\n".join([f"# {title(record)}", setting(record), markdown([record]), import_time(record)]).strip() + "\n"
    written = []
    for suffix, content in ((".json", text), (".md", page)):
        path = stem.with_name(stem.name + suffix)
        with replacing(path) as file:
            file.write(content.encode())
        written.append(path)
    return [*written, *picture.write(record, stem)]


def ratio(record: Record, quantity: str, candidate: str) -> str:
    """The time of a candidate relative to its reference."""
    return difference(_entries(record, quantity)[candidate]["ratio"])


def difference(found: Mapping[str, float], reference: str = "") -> str:
    """`+6.4 % (+2.5 % to +10.4 %)`; a tie where the interval has both signs."""
    text = "{} ({} to {})".format(*(percent(found[key]) for key in ("median", "low", "high")))
    text = f"{text} to {reference}" if reference else text
    return f"{text}, a tie" if found["low"] < 1 < found["high"] else text


def milliseconds(seconds: float) -> str:
    """With three digits."""
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else f"{seconds * 1e3:.0f} ms"  # 1000 ms, not 1e+03


def percent(ratio: float) -> str:
    """A ratio as a difference: 1.031 is +3.1 %."""
    return f"{(ratio - 1) * 100:+.1f} %"


def _name(record: Record) -> str:
    rows, tokens = record["batch"]
    return f"{record['model']['name']}, {rows}×{tokens}"


def _entries(record: Record, quantity: str) -> dict[str, Record]:
    return {entry["candidate"]: entry for entry in record["times"] if entry["quantity"] == quantity}


def _time(entry: Record | None) -> str:
    if entry is None:
        return ""
    text = milliseconds(entry["median"])
    if entry["ratio"] is None or entry["reference"] == entry["candidate"]:
        return text
    return f"{text}, {difference(entry['ratio'], entry['reference'])}"


def _mebibytes(entry: Record | None) -> str:
    """The median of the processes, the least and the most."""
    if entry is None:
        return ""
    figures = (median(entry["peaks"]), min(entry["peaks"]), max(entry["peaks"]))
    return "{} ({} to {})".format(*(f"{value / 2**20:,.0f}" for value in figures))
