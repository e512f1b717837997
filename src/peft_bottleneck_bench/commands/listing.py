"""The commands `tasks` and `methods`: what there is to name in a configuration."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from eval_tasks import Hub, is_shipped, load_task, task_names


def add_to(commands: Any) -> None:
    """Adds both commands to those of a parser."""
    for name, words, rows, table in (
        ("tasks", "list the registered tasks", task_rows, _task_table),
        ("methods", "list the methods and their options", method_rows, _method_table),
    ):
        parser = commands.add_parser(name, help=words, description=f"{words.capitalize()}.")
        parser.add_argument("--json", action="store_true", help="print JSON, with everything that is known")
        parser.set_defaults(command=_list, rows=rows, table=table)


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
    from ..models.methods import METHODS, method_options

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
    from ..quiet import quiet

    quiet()
    rows: Sequence[dict[str, Any]] = parsed.rows()
    if parsed.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    from ..terminal import print_wide

    print_wide(parsed.table(rows))
    return 0


def _task_table(rows: Sequence[dict[str, Any]]) -> Any:
    """By kind, because names, kinds and descriptions in one line each would not fit a terminal."""
    from rich.text import Text

    table = _table("task", "metric", "description (data)")
    for kind in dict.fromkeys(row["kind"] for row in rows):
        table.add_row(Text(kind, style="bold"))
        for row in rows:
            if row["kind"] == kind:
                table.add_row(f"  {row['task']}", row["metric"], f"{row['description']} ({row['data']})")
    return table


def _method_table(rows: Sequence[dict[str, Any]]) -> Any:
    table = _table("method", "learning rate", "description")
    for row in rows:
        rate = row["learning rate"]
        table.add_row(row["method"], "" if rate is None else str(rate), row["description"])
    return table


def _table(*columns: str) -> Any:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns[:-1]:
        table.add_column(name, no_wrap=True)
    table.add_column(columns[-1])
    return table
