"""The tables of the page on choosing, and the README's scores, are those of records, models and defaults."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def choices() -> Any:
    spec = importlib.util.spec_from_file_location("choices", ROOT / "tools" / "choices.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["defaults", "sizes", "scores"])
def test_the_tables_are_up_to_date(choices: Any, name: str) -> None:
    document = choices.README if name == "scores" else choices.CHOOSE
    begin, end = choices.marks(name)
    found = document.read_text(encoding="utf-8").split(begin)[1].split(end)[0]
    assert found == getattr(choices, name)(), "run `python tools/choices.py`"


def test_the_best_trials_come_from_the_search(choices: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from peft_bottleneck_bench import read_records

    source = ROOT / "benchmarks" / "scores" / "encoder" / "sst2_sentences"
    monkeypatch.setattr(choices, "SEARCH", source)
    found = choices.best_trials()
    records = read_records(source)[0].values()
    best, count = found["sst2_sentences", "houlsby"]
    scores = [record.validation_score for record in records if record.method == "houlsby"]
    assert (best.validation_score, count) == (max(scores), len(scores))
    text = choices.defaults()
    assert re.search(
        rf"^\| `houlsby` \| [^|]+ \| \S+, warm-up \S+: {best.validation_score:.3f} \|$", text, re.MULTILINE
    )
    assert "trials, the one with the best score on validation" in text
