"""The page on several adapters: its examples run from top to bottom, and what they say is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "guides" / "several-adapters.md"


def test_its_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), names)
    assert names["logits"].shape == names["films"].shape == names["books"].shape == (3, 2)
    assert names["loaded"].active_adapters == ["both"]
    assert {path.name for path in (tmp_path / "adapters").iterdir()} >= {"films", "books", "both"}
    assert names["loss"].isfinite()
