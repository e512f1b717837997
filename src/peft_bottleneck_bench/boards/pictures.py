"""Score against cost, and loss curves, by matplotlib, as files."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FormatStrFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from ..statistics import Standing
from ..words import visible
from .boards import Board, Row
from .columns import adapter_bytes, peak_memory, train_seconds, trainable
from .overview import Overview
from .window import window

LONGEST_NAME = 60
LOSSES_IN_A_ROW = 5

FloatArray = NDArray[np.float64]
Style = tuple[str, str]  # colour and marker
Cost = tuple[str, str, Callable[[Row], float | None]]

# Okabe and Ito's colours, which the colour-blind can distinguish, and four more; black is the colour of text.
_COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#8c6bb1",
    "#7f7f7f",
    "#8a3d2f",
    "#5b7a1e",
)
_MARKERS = ("o", "s", "D", "^", "v", "P", "X")
_INK, _LINE, _OTHER = "#1a1a1b", "#d8d8d9", "#c2c2c4"
_RC: Any = {
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _INK,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlecolor": _INK,
    "axes.titlesize": "medium",
    "font.size": 9,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}

#: The costs of a method: the name, the unit, and the value of a row.
COSTS: tuple[Cost, ...] = (
    ("trainable parameters", "", trainable),
    ("train time", "s", train_seconds),
    ("peak memory", "B", peak_memory),
    ("adapter file", "B", adapter_bytes),
)


def styles(boards: Sequence[Board]) -> dict[str, Style]:
    """A colour and a marker for every method, the same on all boards."""
    methods = sorted({row.method for board in boards for row in board.rows})
    return {
        method: (_COLOURS[index % len(_COLOURS)], _MARKERS[index % len(_MARKERS)])
        for index, method in enumerate(methods)
    }


def write(board: Board, methods: Mapping[str, Style], stem: Path) -> list[Path]:
    """Writes `<stem>-cost` and `<stem>-loss` as PNG and SVG; a picture with nothing to show is left out."""
    written = []
    for name, draw in (("cost", _cost_figure), ("loss", _loss_figure)):
        written += _write(partial(draw, board, methods), stem.with_name(f"{stem.name}-{name}"))
    return written


def write_overview(overview: Overview, stem: Path) -> list[Path]:
    """Writes the scores of all methods on all tasks of a model as `<stem>` in PNG and SVG."""
    return _write(partial(_overview_figure, overview), stem)


def _write(draw: Callable[[], Figure | None], stem: Path) -> list[Path]:
    """The figure of `draw` in both formats; none without a figure."""
    written = []
    with mpl.rc_context(dict(_RC, **{"svg.hashsalt": stem.name})), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # names in scripts that the font lacks, or too long
        if (figure := draw()) is None:
            return []
        for suffix, metadata in ((".png", {"Software": None}), (".svg", {"Date": None})):
            path = stem.with_name(f"{stem.name}{suffix}")
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=150, metadata=metadata)
            figure.set_layout_engine("none")  # laid out once is laid out
            written.append(path)
    return written


def _overview_figure(overview: Overview) -> Figure:
    """One panel per task, one line per method: the mean and its interval, filled where the method may be best."""
    methods = [line.method for line in reversed(overview.lines)]
    columns = min(3, len(overview.boards))
    rows = -(-len(overview.boards) // columns)
    figure = Figure(figsize=(9, rows * (0.9 + 0.22 * len(methods))), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes, board in zip(panels.flat, overview.boards, strict=False):
        for row in board.rows:
            if row.standing:
                _draw_standing(axes, methods.index(row.method), row.standing, complete=row.problem is None)
        if board.baseline:
            axes.axvline(board.baseline.score, color=_INK, lw=0.8, ls="--", zorder=0)
        axes.set_yticks(range(len(methods)), [_plain(method) for method in methods])
        axes.set_ylim(-0.6, len(methods) - 0.4)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_title(_plain(board.record.task), loc="left")
        axes.set_xlabel(_plain(board.main_metric))
    for axes in panels.flat[len(overview.boards) :]:
        axes.set_axis_off()
    figure.suptitle(
        _plain(overview.model) + ": mean and 95 % interval; filled: may be best", x=0.01, ha="left", fontsize="medium"
    )
    return figure


def _draw_standing(axes: Axes, place: int, standing: Standing, *, complete: bool) -> None:
    colour = _COLOURS[0] if standing.may_be_best else _COLOURS[7]
    low, high = standing.interval or (standing.mean, standing.mean)
    axes.plot([low, high], [place, place], color=colour, lw=1.5)
    face = colour if standing.may_be_best else "white"
    axes.plot([standing.mean], [place], "o" if complete else "x", color=colour, markerfacecolor=face, ms=5)


def _cost_figure(board: Board, methods: Mapping[str, Style]) -> Figure | None:
    """One panel per cost that is known of two methods, or of the only one."""
    scored = [row for row in board.rows if row.standing]
    known = [cost for cost in COSTS if sum(cost[2](row) is not None for row in scored) >= min(2, len(scored))]
    if not scored or not known:
        return None
    rows = -(-len(known) // 2)
    figure = Figure(figsize=(9, 3.25 * rows), layout="constrained")
    panels = figure.subplots(rows, 2, squeeze=False).flat
    for axes, cost in zip(panels, known, strict=False):
        _draw_cost(axes, board, methods, cost)
    for axes in figure.axes[len(known) :]:
        axes.set_axis_off()
    entries = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(entries.values(), entries.keys(), loc="outside right upper")
    figure.suptitle(_plain(board.title), x=0.01, ha="left")
    return figure


def _draw_cost(axes: Axes, board: Board, methods: Mapping[str, Style], cost: Cost) -> None:
    """Score over one cost, with intervals, and the front that no complete method beats in both; hollow: incomplete."""
    words, unit, cost_of = cost
    points = [(x, row.standing, row) for row in board.rows if row.standing and (x := cost_of(row)) is not None]
    least, greatest = window(board)
    for x, standing, row in points:
        colour, marker = methods[row.method]
        mean, low, high = (
            min(max(end, least), greatest) for end in (standing.mean, *(standing.interval or (standing.mean,) * 2))
        )
        if mean != standing.mean:
            arrow = "↓" if mean > standing.mean else "↑"
            axes.annotate(arrow, (x, mean), xytext=(6, -3), textcoords="offset points")
        axes.errorbar(
            [x],
            [mean],
            yerr=[[max(0.0, mean - low)], [max(0.0, high - mean)]],
            color=colour,
            marker=marker,
            markerfacecolor="none" if row.problem else colour,
            ms=6,
            lw=1,
            ls="none",
            label=_plain(row.method),
        )
    complete = [(x, standing.mean) for x, standing, row in points if row.problem is None]
    front = pareto_front(complete, board.greater_is_better)
    axes.plot(
        [x for x, _ in front], [min(max(y, least), greatest) for _, y in front], color=_INK, lw=0.8, ls=":", zorder=0
    )
    positive = [x for x, _, _ in points if x > 0]
    if positive and max(positive) > 20 * min(positive):
        # A logarithmic axis has no place for a cost of 0.
        symmetric = {"linthresh": min(positive)} if len(positive) < len(points) else {}
        axes.set_xscale("symlog" if symmetric else "log", **symmetric)
        axes.minorticks_off()
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(EngFormatter(unit))
    axes.set_xlabel(words)
    axes.set_ylabel(_plain(board.main_metric))


def pareto_front(points: Sequence[tuple[float, float]], greater_is_better: bool) -> list[tuple[float, float]]:
    """Those (cost, score) that no other point matches at less cost or beats at the same, by cost."""
    sign = 1 if greater_is_better else -1
    front: list[tuple[float, float]] = []
    for cost, score in sorted(points, key=lambda point: (point[0], -sign * point[1])):
        if not front or sign * score > sign * front[-1][1]:
            front.append((cost, score))
    return front


def _loss_figure(board: Board, methods: Mapping[str, Style]) -> Figure | None:
    """One panel per method: its mean over seeds, a band from the least to the greatest, the other means in grey."""
    curves = {row.method: found for row in board.rows if (found := _curves(row))}
    if not curves:
        return None
    columns = min(LOSSES_IN_A_ROW, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(9, 0.6 + 1.6 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    values = np.concatenate([losses.ravel() for _, losses in curves.values()])
    logarithmic = bool(np.nanmin(values) > 0 and np.nanmax(values) > 20 * np.nanmin(values))
    for axes, (method, (steps, losses)) in zip(panels.flat, curves.items(), strict=False):
        for other, (places, others) in curves.items():
            if other != method:
                axes.plot(places, np.nanmean(others, axis=0), color=_OTHER, lw=0.7)
        colour = methods[method][0]
        axes.fill_between(steps, np.nanmin(losses, axis=0), np.nanmax(losses, axis=0), color=colour, alpha=0.3, lw=0)
        axes.plot(steps, np.nanmean(losses, axis=0), color=colour, lw=1.3)
        axes.set_title(_plain(method), loc="left")
        if logarithmic:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
            axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
            axes.yaxis.set_minor_locator(NullLocator())
    for place, axes in enumerate(panels.flat):
        if place >= len(curves):
            axes.set_axis_off()
        elif place + columns >= len(curves):
            axes.tick_params(labelbottom=True)
    figure.supxlabel("step", fontsize="medium")
    figure.supylabel("training loss", fontsize="medium")
    figure.suptitle(_plain(board.title), x=0.01, ha="left")
    return figure


def _curves(row: Row) -> tuple[list[int], FloatArray] | None:
    """The steps that the runs of a method have in common, and their losses there, one row per run."""
    curves = [dict(record.loss_curve) for record in row.runs.values() if record.loss_curve]
    if not curves:
        return None
    steps = sorted(set.intersection(*(set(curve) for curve in curves))) or sorted(curves[0])
    return steps, np.array([[curve.get(step, np.nan) for step in steps] for curve in curves])


def _plain(text: str) -> str:
    """`text` without meaning to matplotlib, which reads between dollars as mathematics and hides a leading `_`."""
    text = visible(text)
    text = text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]} …"
    escaped = text.replace("$", r"\$")
    return f"\u200b{escaped}" if escaped.startswith("_") else escaped
