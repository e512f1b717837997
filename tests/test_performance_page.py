"""The figures of docs/performance.md and of the README are those of the committed records."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def performance() -> Any:
    spec = importlib.util.spec_from_file_location("performance", ROOT / "tools" / "performance.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_figures_come_from_the_records() -> None:
    module = performance()
    pages = ((module.PAGE, module.figures()), (module.SMALL, module.small()), (module.README, module.summary()))
    for document, expected in pages:
        found = document.read_text(encoding="utf-8").split(module.BEGIN)[1].split(module.END)[0]
        assert found == expected, "run `python tools/performance.py`"


def test_the_readme_has_every_row_that_it_is_to_have() -> None:
    module = performance()
    rows = [line.split(" | ")[0].removeprefix("| ") for line in module.summary().splitlines()]
    assert set(module.SUMMARY) <= set(rows)


def test_the_records_compare_all_libraries() -> None:
    records = performance().records()
    assert records
    for record in records:
        assert {"houlsby", "lora", "houlsby (adapterhub)"} <= set(record["candidates"])
        assert len({entry["length"] for entry in record["memory"]}) >= 3
