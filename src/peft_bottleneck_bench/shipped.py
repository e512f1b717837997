"""The folders that the project ships beside its code: `eval_tasks` and `configs`.

A checkout has them at its top, a wheel inside this package.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent


def shipped_folder(name: str) -> Path:
    """The folder `name`, wherever this package is installed."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parents[1] / name
