"""The benchmark: trains methods on tasks as a configuration says, and leaves one record per run.

The names below are its Python API. They are imported when they are used, so that `import peft_bottleneck_bench` loads
neither torch nor datasets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .api import (
        Board,
        Configuration,
        Jobs,
        Outcome,
        Plan,
        Record,
        leaderboard,
        load_configuration,
        plan,
        predict,
        read_records,
        run_grid,
    )
    from .errors import UserError

__all__ = [
    "Board",
    "Configuration",
    "Jobs",
    "Outcome",
    "Plan",
    "Record",
    "UserError",
    "leaderboard",
    "load_configuration",
    "plan",
    "predict",
    "read_records",
    "run_grid",
]


def __getattr__(name: str) -> object:
    """The public `name` (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from .missing_packages import not_installed

    try:
        return getattr(import_module(".errors" if name == "UserError" else ".api", __name__), name)
    except ModuleNotFoundError as error:
        if (missing := not_installed(error)) is None:
            raise
        raise ModuleNotFoundError(missing, name=error.name) from None


def __dir__() -> list[str]:
    return [*globals(), *__all__]
