"""Output for terminals."""

from __future__ import annotations

import sys

from rich.console import Console, RenderableType

LOG_WIDTH = 140  # columns of a table without a terminal


def print_wide(content: RenderableType) -> None:
    """Prints a table at the terminal's width; a log has none, so there it is `LOG_WIDTH` wide."""
    Console(width=None if sys.stdout.isatty() else LOG_WIDTH, soft_wrap=False).print(content)


def duration(seconds: float) -> str:
    """A length of time: `4.2 s`, `213 s`, `42 min`, `2 h 05 min`."""
    if seconds < 1000:
        return f"{seconds:.1f} s" if seconds < 99.95 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def size(count: int) -> str:
    """A number of bytes: `780 MB`, `8.4 GB`."""
    return f"{count / 1e6:,.0f} MB" if count < 999.5e6 else f"{count / 1e9:,.1f} GB"
