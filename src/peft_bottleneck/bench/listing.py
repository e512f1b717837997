"""The commands `tasks` and `methods`: what there is to name in a configuration."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from eval_tasks import Hub, is_shipped, load_task, task_names


def add_to(commands: Any) -> None:
    """Adds both commands to those of a parser."""
    for name, words, rows in (
        ("tasks", "list the registered tasks", task_rows),
        ("methods", "list the methods and their options", method_rows),
    ):
        parser = commands.add_parser(name, help=words, description=f"{words.capitalize()}.")
        parser.add_argument("--json", action="store_true", help="print JSON, with everything that is known")
        parser.set_defaults(command=_list, rows=rows)


def task_rows() -> list[dict[str, Any]]:
    """Every registered task, by name."""
    rows = []
    for name in task_names():
        task = load_task(name)
        hub = task.data if isinstance(task.data, Hub) else None
        rows.append(
            {
                "task": name,
                "kind": task.kind,
                "metric": task.main_metric,
                "data": hub.id if hub else "shipped" if is_shipped(task.data) else "your own copy",
                "revision": hub.revision if hub else None,
                "licence": task.licence,
                "source": task.source,
                "description": task.description,
            }
        )
    return rows


def method_rows() -> list[dict[str, Any]]:
    """Every method, in the order of the table, with its options and their defaults."""
    from .methods import METHODS, method_options

    return [
        {
            "method": name,
            "learning rate": method.learning_rate if method.head else None,
            "description": method.summary,
            "options": {option: _plain(value) for option, value in method_options(name).items()},
        }
        for name, method in METHODS.items()
    ]


def _plain(value: Any) -> Any:
    """The value where JSON has a word for it; null where a class makes its own default."""
    return value if isinstance(value, (str, int, float, bool, list, dict)) else None


def _list(parsed: argparse.Namespace) -> int:
    from .quiet import quiet

    quiet()
    rows: Sequence[dict[str, Any]] = parsed.rows()
    if parsed.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    from rich.table import Table

    from .progress import print_wide

    columns = [name for name in rows[0] if name not in ("options", "revision", "licence", "source")]
    table = Table(box=None, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in columns))
    print_wide(table)
    return 0
