"""The figures of docs/performance.md and of the README are those of the committed records."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

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
    for document, (begin, end), expected in (
        (module.SERVING, module.SERVING_MARKS, module.serving()),
        (module.CLUSTER, module.CLUSTER_MARKS, module.cluster()),
    ):
        found = document.read_text(encoding="utf-8").split(begin)[1].split(end)[0]
        assert found == expected, "run `python tools/performance.py`"


def test_the_readme_has_six_rows_and_no_target() -> None:
    lines = performance().summary().splitlines()
    assert len(lines) == 2 + 6
    assert not any(word in line for line in lines for word in ("open", "met", "missed", "≤"))


def test_the_records_compare_all_libraries() -> None:
    module = performance()
    for record in map(module.merged, module.MODELS):
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


def test_the_table_of_serving_comes_from_a_record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = performance()
    monkeypatch.setattr(module, "RECORDS", tmp_path)
    assert "--record" in module.serving()
    ratio = {"median": 1.25, "low": 1.2, "high": 1.3}
    entries = [
        {"example": "onnx_runtime", "candidate": "base", "seconds": 0.004, "ratio": ratio},
        {"example": "onnx_runtime", "candidate": "unfolded", "seconds": 0.005, "ratio": ratio},
    ]
    record = {"hardware": {"device": "a CPU"}, "rounds": 7, "entries": entries}
    (tmp_path / "serving.json").write_text(json.dumps(record), encoding="utf-8")
    lines = module.serving().splitlines()
    assert lines[2] == "| `onnx_runtime.py` | base | 4 ms |  |"
    assert lines[3] == "| `onnx_runtime.py` | unfolded | 5 ms | 1.25 × (1.20 to 1.30) |"


def test_the_overhead_of_a_cluster_comes_from_a_record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = performance()
    for path in module.RECORDS.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(module, "RECORDS", tmp_path)
    (tmp_path / "ray_overhead.json").unlink(missing_ok=True)
    assert "--record" in module.cluster()
    assert "Ray" not in module.figures()
    seconds = {"all": 0.0125, "first": 0.0121, "last": 0.013}
    record = {"nodes": 3, "task_seconds": 0.005, "runs": 1000, "part": 100, "turns": [seconds] * 3, "seconds": seconds}
    record["hardware"] = {"device": "CPU"}
    (tmp_path / "ray_overhead.json").write_text(json.dumps(record), encoding="utf-8")
    sentence = module.cluster()
    assert sentence == (
        "On a Ray cluster of 3 nodes, processes of one CPU, 1,000 runs of 5 ms took 12.5 ms each: 12.1 ms over the "
        "first 100, 13 ms over the last (medians of 3 turns).\n"
    )
    assert module.figures().endswith(sentence)
