"""The records that the project keeps: each is read, and written again as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from peft_bottleneck_bench import records

SCORES = Path(__file__).parents[2] / "benchmarks" / "scores"


def test_the_committed_records_are_read_and_written_as_they_are(tmp_path: Path) -> None:
    files = sorted(SCORES.rglob("seed*.json"))
    assert len(files) == 318
    for file in files:
        records.write(records.read(file), tmp_path / "again.json")
        before, after = (json.loads(path.read_text()) for path in (file, tmp_path / "again.json"))
        assert before == common(after, before)
        assert records.read(tmp_path / "again.json") == records.read(file)


def common(after: Any, before: Any) -> Any:
    """`after` without the fields that the schema has gained since `before`, all of which are empty."""
    if not isinstance(before, dict):
        return after
    assert all(value in (None, []) for name, value in after.items() if name not in before)
    return {name: common(value, before[name]) for name, value in after.items() if name in before}
