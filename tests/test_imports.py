"""Imports run one way: from the harness to the plugin, and inside each house from the higher floor to the lower one.

Every import counts: those inside functions and those for types alone too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
HOUSES = ("peft_bottleneck", "peft_bottleneck_bench")

# Files and folders of the harness from the ground up; those of one row do not import each other.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "missing_packages", "interruption", "words", "value_types", "startup", "semeval"),
    ("quiet", "terminal", "file_names", "shipped", "statistics", "workbench", "converters"),
    ("processes", "files", "tasks"),
    ("records", "metrics", "models"),
    ("hardware", "kinds"),
    ("data", "saved"),
    ("configuration",),
    ("run",),
    ("prediction", "boards", "speed"),
    ("training",),
    ("grid",),
    ("api",),
    ("commands",),
    ("cli",),
)


def modules(house: str) -> dict[str, Path]:
    """The modules of a house by dotted name; a package is named as its folder."""
    found = {}
    for path in sorted((SOURCE / house).rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules of the two houses that a module imports."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                if inner in known:
                    yield inner
                elif source in known:
                    yield source


KNOWN = {name: path for house in HOUSES for name, path in modules(house).items()}
IMPORTS = {name: sorted(set(imports(name, path, KNOWN)) - {name}) for name, path in KNOWN.items()}


def room(name: str) -> str:
    """The file or folder at the top of a house that a module belongs to."""
    return name.split(".")[1] if "." in name else ""


@pytest.mark.parametrize("house", HOUSES)
def test_no_circle_of_modules(house: str) -> None:
    graph = {name: IMPORTS[name] for name in modules(house)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


@pytest.mark.parametrize("house", HOUSES)
def test_no_circle_of_folders(house: str) -> None:
    graph: dict[str, set[str]] = {}
    for name in modules(house):
        rooms = {room(other) for other in IMPORTS[name] if other.split(".")[0] == house}
        if room(name):
            graph.setdefault(room(name), set()).update(rooms - {room(name), ""})
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_the_plugin_never_imports_the_harness() -> None:
    arrows = {name for name in modules("peft_bottleneck") if any(o.startswith(HOUSES[1]) for o in IMPORTS[name])}
    assert arrows == {"peft_bottleneck.__main__"}, "`python -m peft_bottleneck` alone starts the harness's command"


def test_no_import_from_a_lower_floor_to_a_higher_one() -> None:
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    there = {room(name) for name in modules(HOUSES[1])} - {"", "__main__"}
    assert there <= floor.keys(), f"give {sorted(there - floor.keys())} a floor"
    upwards = {
        f"{name} → {other}"
        for name in modules(HOUSES[1])
        for other in IMPORTS[name]
        if room(name) in floor and room(other) in floor and room(name) != room(other)
        if floor[room(name)] <= floor[room(other)]
    }
    assert not upwards, "\n".join(sorted(upwards))
