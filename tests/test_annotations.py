"""`Any` switches the type checker off, so it stays rare outside the tests."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "eval_tasks", "tools", "benchmarks", "examples")
MOST = 331


def test_any_stays_rare() -> None:
    used = Counter(
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Name) and node.id == "Any")
        or (isinstance(node, ast.Attribute) and node.attr == "Any")
    )
    assert len(used) > 50  # the files were found
    assert used.total() <= MOST, f"{used.total()} uses of Any; most in {used.most_common(10)}"
