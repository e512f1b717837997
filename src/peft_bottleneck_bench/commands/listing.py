"""The commands `tasks` and `methods`: the names that a configuration may use."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..tasks import Hub, is_shipped, load_task, task_files

if TYPE_CHECKING:
    from rich.table import Table

Row = dict[str, Any]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds both commands to those of a parser."""
    words = "list the registered tasks"
    tasks = commands.add_parser("tasks", help=words, description=f"{words.capitalize()}.")
    tasks.add_argument(
        "--tasks-from",
        metavar="DIR",
        type=Path,
        action="append",
        default=[],
        help="a folder with task files of your own; may be given several times",
    )
    tasks.set_defaults(command=_tasks)
    words = "list the methods, or the options of one"
    methods = commands.add_parser("methods", help=words, description=f"{words.capitalize()}.")
    methods.add_argument("method", metavar="METHOD", nargs="?", help="show the options of this method")
    methods.set_defaults(command=_methods)
    for parser in (tasks, methods):
        parser.add_argument("--json", action="store_true", help="print JSON, with everything that is known")


def task_rows(folders: Iterable[Path] = ()) -> tuple[list[Row], list[str]]:
    """Every registered task, by name, and why a task file could not be read."""
    rows: list[Row] = []
    left_out: list[str] = []
    for name in task_files(folders := tuple(folders)):
        try:
            task = load_task(name, folders)
        except UserError as error:
            left_out += error.messages
            continue
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
    return rows, left_out


def method_rows(names: Iterable[str]) -> list[Row]:
    """The methods of these names."""
    from ..models.methods import method_named

    return [
        {
            "method": name,
            "learning rate": method.learning_rate if method.head else None,
            "warm-up": method.warmup_steps if method.head else None,
            "description": method.summary,
        }
        for name, method in ((name, method_named(name)) for name in names)
    ]


def methods_with_options() -> list[Row]:
    """The methods of the table, then every other one of PEFT, with their options; imports PEFT."""
    from ..models.options import method_names, method_options

    return [
        {**row, "options": {option: _plain(value) for option, value in method_options(row["method"]).items()}}
        for row in method_rows(method_names())
    ]


def option_rows(name: str) -> list[Row]:
    """The options of the method `name`.

    Raises:
        UserError: there is no such method.
    """
    from ..models.options import check_method, config_class, method_options, option_help

    check_method(name, {})
    words = option_help(name)
    made = config_class(name)  # which makes the defaults of some options when it is called: `default_reduction_factor`
    return [
        {
            "option": option,
            "default": _plain(getattr(made, f"default_{option}", None) if value is None else value),
            "description": words[option],
        }
        for option, value in method_options(name).items()
    ]


def _plain(value: object) -> object:
    """The value if JSON has one; null where a class makes its own default."""
    return value if isinstance(value, (str, int, float, bool, list, dict)) else None


def _tasks(parsed: argparse.Namespace) -> int:
    rows, left_out = task_rows(parsed.tasks_from)
    _print(rows, parsed.json, _task_table)
    for reason in left_out:
        print(f"left out: {reason}", file=sys.stderr)
    return 0


def _methods(parsed: argparse.Namespace) -> int:
    from ..models.methods import METHODS

    if parsed.method:
        _print(option_rows(parsed.method), parsed.json, _option_table)
    elif parsed.json:
        _print(methods_with_options(), parsed.json, _method_table)
    else:
        _print(method_rows(METHODS), parsed.json, _method_table)
        print("\nand every other method of PEFT by its name: peft-bottleneck methods vera")
    return 0


def _print(rows: Sequence[Row], as_json: bool, table: Callable[[Sequence[Row]], Table]) -> None:
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from ..terminal import print_wide

    print_wide(table(rows))


def _task_table(rows: Sequence[Row]) -> Table:
    """By kind, because names, kinds and descriptions in one line each would not fit a terminal."""
    from rich.text import Text

    table = _table("task", "metric", "description (data)")
    for kind in dict.fromkeys(row["kind"] for row in rows):
        table.add_row(Text(kind, style="bold"))
        for row in rows:
            if row["kind"] == kind:
                table.add_row(f"  {row['task']}", row["metric"], f"{row['description']} ({row['data']})")
    return table


def _method_table(rows: Sequence[Row]) -> Table:
    table = _table("method", "learning rate", "description")
    for row in rows:
        rate = row["learning rate"]
        table.add_row(row["method"], "" if rate is None else str(rate), row["description"])
    return table


def _option_table(rows: Sequence[Row]) -> Table:
    table = _table("option", "default", "description")
    for row in rows:
        table.add_row(row["option"], "" if row["default"] is None else str(row["default"]), row["description"])
    return table


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns[:-1]:
        table.add_column(name, no_wrap=True)
    table.add_column(columns[-1])
    return table
