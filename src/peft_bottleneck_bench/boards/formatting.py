"""Readable numbers."""

from __future__ import annotations

from ..statistics import Standing
from ..terminal import duration

NONE = "–"


def score(value: float | None) -> str:
    """Four decimals up to 1, two above: `0.9127`, `27.41`."""
    if value is None:
        return NONE
    return f"{value:.4f}" if abs(value) <= 1 else f"{value:.2f}"


def spread(mean: float | None, std: float | None) -> str:
    """`0.9127 ± 0.0042`, with as many decimals on both sides; without a spread where one seed gives none."""
    if mean is None or std is None:
        return score(mean)
    decimals = 4 if abs(mean) <= 1 else 2
    return f"{mean:.{decimals}f} ± {std:.{decimals}f}"


def star(standing: Standing) -> str:
    """`★` for a method that may be best, `☆` for one whose scores scatter too much to rule it out."""
    return "★" if standing.may_be_best else "☆" if standing.scattered else ""


def interval(bounds: tuple[float, float] | None) -> str:
    """`0.8911 to 0.9343`: a dash would read as a minus."""
    return NONE if bounds is None else f"{score(bounds[0])} to {score(bounds[1])}"


def p_value(value: float) -> str:
    """`p = 0.012`, and `p < 0.001` below."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def ranks(bounds: tuple[int, int] | None) -> str:
    """`2` or `1–3`."""
    if bounds is None:
        return NONE
    return str(bounds[0]) if bounds[0] == bounds[1] else f"{bounds[0]}–{bounds[1]}"


def count(value: int | None) -> str:
    """`294,912`."""
    return NONE if value is None else f"{value:,}"


def share(part: int | None, whole: int | None) -> str:
    """`1.32 %`."""
    return f"{100 * part / whole:.2f} %" if part is not None and whole else NONE


def seconds(value: float | None) -> str:
    """`4.2 s`, `213 s`, `42 min`, `2 h 05 min`."""
    return NONE if value is None else duration(value)


def milliseconds(value: float | None) -> str:
    """`4.21 ms`, with three figures."""
    if value is None:
        return NONE
    milli = 1000 * value
    return f"{milli:.{0 if milli >= 99.95 else 1 if milli >= 9.995 else 2}f} ms"


def train_time(value: float | None, shared_machine: bool) -> str:
    """The time, or a note that other processes used the machine."""
    return "shared machine" if shared_machine else seconds(value)


def size(value: int | None) -> str:
    """`1.2 MB`, in powers of 1000."""
    return _in_thousands(value, ["B", "kB", "MB", "GB", "TB"])


def short_count(value: int | None) -> str:
    """`295 k`, for where `294,912` takes too much room."""
    return _in_thousands(value, ["", "k", "M", "G", "T"])


def _in_thousands(value: int | None, units: list[str]) -> str:
    """Three digits and the unit that fits."""
    if value is None:
        return NONE
    number, step = float(value), 0
    while number >= 999.5 and step + 1 < len(units):
        number, step = number / 1000, step + 1
    digits = f"{number:.0f}" if step == 0 or number >= 99.5 else f"{number:.1f}"
    return f"{digits} {units[step]}".rstrip()
