"""The folders that the project ships beside its code: `eval_tasks` and `configs`.

A checkout has them at its top, a wheel inside this package.
"""

from __future__ import annotations

from pathlib import Path

from .errors import UserError, suggest

PACKAGE = Path(__file__).parent


def shipped_folder(name: str) -> Path:
    """The folder `name`, wherever this package is installed."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parents[1] / name


def shipped_configurations() -> list[str]:
    """The names of the run configurations that the project ships, sorted."""
    return sorted(file.stem for file in shipped_folder("configs").glob("*.yaml"))


def configuration_file(file: Path) -> Path:
    """`file`, or the shipped configuration of that name where there is no such file.

    Raises:
        UserError: there is neither.
    """
    if file.exists() or len(file.parts) > 1 or file.suffix:
        return file
    if file.name not in shipped_configurations():
        hint = suggest(file.name, shipped_configurations())
        raise UserError(f"{file}: no such file, and no configuration of this name is shipped: {hint}")
    return shipped_folder("configs") / f"{file}.yaml"
