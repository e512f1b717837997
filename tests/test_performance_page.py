"""The figures of docs/performance.md and of the README are those of the committed records."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", autouse=True)
def tools() -> Iterator[None]:
    """The scripts import each other."""
    sys.path.insert(0, str(ROOT / "tools"))
    yield
    sys.path.remove(str(ROOT / "tools"))


@pytest.fixture(scope="module")
def performance() -> Any:
    return importlib.import_module("performance")


@pytest.fixture(scope="module")
def guides() -> Any:
    return importlib.import_module("guide_figures")


def test_the_figures_come_from_the_records(performance: Any, guides: Any) -> None:
    pages = [
        (performance.PAGE, "figures", performance.figures()),
        (performance.README, "figures", performance.summary()),
    ]
    for document, name, expected in [*pages, *guides.passages()]:
        found = document.read_text(encoding="utf-8").split(f"<!-- {name}: begin -->\n")[1]
        assert found.split(f"<!-- {name}: end -->\n")[0] == expected, "run `python tools/performance.py`"


def test_every_record_of_the_guides_is_there_but_that_of_the_cluster(guides: Any) -> None:
    missing = {record for *_, record in guides.PASSAGES if not (guides.RECORDS / f"{record}.json").exists()}
    assert missing <= {"ray_overhead"}


def test_the_readme_has_six_rows_and_no_target(performance: Any) -> None:
    lines = performance.summary().splitlines()
    assert len(lines) == 2 + 6
    assert not any(word in line for line in lines for word in ("open", "met", "missed", "≤"))


def test_the_records_compare_all_libraries(performance: Any) -> None:
    for record in map(performance.merged, performance.MODELS):
        assert {"houlsby", "lora", "houlsby (adapterhub)"} <= set(record["candidates"])
        assert len({entry["length"] for entry in record["memory"]}) >= 3


def test_a_benchmark_leaves_committed_records_alone_unless_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    spec = importlib.util.spec_from_file_location("sharing", ROOT / "benchmarks" / "sharing.py")
    assert spec is not None
    assert spec.loader is not None
    sharing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sharing)
    monkeypatch.setattr(sharing, "HERE", tmp_path)
    (tmp_path / "speed").mkdir()
    sharing.write("one", seconds=1.5)
    assert json.loads(capsys.readouterr().out)["seconds"] == 1.5
    assert not list((tmp_path / "speed").iterdir())
    monkeypatch.setattr("sys.argv", ["benchmark.py", "--record"])
    sharing.write("one", seconds=1.5)
    assert json.loads((tmp_path / "speed" / "one.json").read_text())["seconds"] == 1.5


def test_the_table_of_serving_comes_from_a_record(
    guides: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(guides, "RECORDS", tmp_path)
    assert {content for *_, content in guides.passages()} == {guides.UNMEASURED}
    ratio = {"median": 1.25, "low": 1.2, "high": 1.3}
    entries = [
        {"example": "onnx_runtime", "candidate": "base", "seconds": 0.004, "ratio": ratio},
        {"example": "onnx_runtime", "candidate": "unfolded", "seconds": 0.005, "ratio": ratio},
    ]
    record = {"hardware": {"device": "a GPU"}, "rounds": 7, "entries": entries}
    (tmp_path / "serving.json").write_text(json.dumps(record), encoding="utf-8")
    lines = guides.serving().splitlines()
    assert lines[2] == "| `onnx_runtime.py` | base | 4 ms |  |"
    assert lines[3] == "| `onnx_runtime.py` | unfolded | 5 ms | 1.25 × (1.20 to 1.30) |"
    assert lines[5].startswith("a GPU; 7 calls of each")


def test_the_overhead_of_a_cluster_comes_from_a_record(
    guides: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(guides, "RECORDS", tmp_path)
    seconds = {"all": 0.0125, "first": 0.0121, "last": 0.013}
    record = {"nodes": 3, "task_seconds": 0.005, "runs": 1000, "part": 100, "turns": [seconds] * 3, "seconds": seconds}
    record["hardware"] = {"device": "cpu", "cores": 2, "processor": "CPU"}
    (tmp_path / "ray_overhead.json").write_text(json.dumps(record), encoding="utf-8")
    assert guides.cluster() == (
        "On a Ray cluster of 3 nodes, processes of one machine (2 cores, CPU), 1,000 runs of 5 ms took 12.5 ms each: "
        "12.1 ms over the first 100, 13 ms over the last (medians of 3 turns).\n"
    )
