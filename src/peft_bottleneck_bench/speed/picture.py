"""Time over the reference and added memory, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .rounds import Record

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito's
_MARKERS = "os"  # after as many lines as there are colours, the next one
_RC: Any = {"axes.grid": True, "axes.spines.top": False, "axes.spines.right": False, "font.size": 9}


def write(record: Record, stem: Path) -> list[Path]:
    """Writes `<stem>.png` and `<stem>.svg`: training and inference against their references, and memory by length."""
    with mpl.rc_context({**_RC, "svg.hashsalt": stem.name}):
        figure = Figure(figsize=(12, 5.2), layout="constrained")
        train, infer, memory = figure.subplots(1, 3)
        _ratios(train, record, "train", "training step over the frozen floor\n(variants: over houlsby), %")
        _ratios(infer, record, "infer_short", f"inference 1×{record['short_length']} over the base, %")
        _memory(memory, record)
        written = []
        for suffix, metadata in ((".png", {"Software": None}), (".svg", {"Date": None})):
            path = stem.with_name(stem.name + suffix)
            figure.savefig(path, dpi=150, metadata=metadata)
            written.append(path)
    return written


def _ratios(axes: Axes, record: Record, quantity: str, words: str) -> None:
    rows = [entry for entry in record["times"] if entry["quantity"] == quantity and entry["ratio"]]
    shown = [entry for entry in rows if entry["reference"] != entry["candidate"]]
    for place, entry in enumerate(reversed(shown)):
        ratio = entry["ratio"]
        middle, low, high = ((ratio[key] - 1) * 100 for key in ("median", "low", "high"))
        colour = _COLOURS[1] if "adapterhub" in entry["candidate"] else _COLOURS[0]
        axes.errorbar([middle], [place], xerr=[[middle - low], [high - middle]], marker="o", ms=5, lw=1, color=colour)
    axes.set_yticks(range(len(shown)), [entry["candidate"] for entry in reversed(shown)])
    axes.axvline(0, color="#1a1a1b", lw=0.8)
    axes.set_xlabel(words)


def _memory(axes: Axes, record: Record) -> None:
    names = list(dict.fromkeys(entry["candidate"] for entry in record["memory"]))
    for index, name in enumerate(names):
        points = [
            (entry["length"], entry["added_bytes"] / 2**20) for entry in record["memory"] if entry["candidate"] == name
        ]
        lengths, added = zip(*points, strict=True)
        dashes = "--" if "adapterhub" in name else "-"
        axes.plot(
            lengths,
            added,
            dashes,
            marker=_MARKERS[index // len(_COLOURS) % len(_MARKERS)],
            ms=4,
            lw=1,
            color=_COLOURS[index % len(_COLOURS)],
            label=name,
        )
    axes.set_xlabel("tokens")
    axes.set_ylabel("memory that training adds, MiB")
    if names:  # none before memory is measured
        axes.legend(frameon=False, fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.4, -0.13))
