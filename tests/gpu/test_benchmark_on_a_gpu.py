"""A run of the benchmark on a GPU: what its record says of the device, its memory, and of half precision."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from tiny_task import make_tokenizer, save_model, sentences, write_rows

from peft_bottleneck_bench.cli import main

pytestmark = pytest.mark.filterwarnings("ignore:MatMul8bitLt. inputs will be cast:UserWarning")


def run(folder: Path, **changes: Any) -> list[dict[str, Any]]:
    """Trains by the command line, as a user does, and returns the records."""
    import yaml

    model = save_model("bert", folder / "tiny_bert", make_tokenizer(), max_position_embeddings=64)
    files = {
        split: str(write_rows(folder / f"{split}.jsonl", sentences(count, start=start)))
        for split, (count, start) in {"train": (64, 0), "validation": (16, 64), "test": (24, 80)}.items()
    }
    training = {"num_train_epochs": 4, "per_device_train_batch_size": 16, "learning_rate": 0.01}
    content = {
        "model": str(model),
        "tasks": [{"name": "words", "kind": "classification", "data": files}],
        "methods": ["houlsby", "pfeiffer", "parallel_adapter", "lora"],
        "seeds": [0],
        "results": str(folder / "results"),
        "training": {**training, **changes.pop("training", {})},
        **changes,
    }
    configuration = folder / "run.yaml"
    configuration.write_text(yaml.safe_dump(content))
    assert main(["run", str(configuration)]) == 0
    return [json.loads(path.read_text()) for path in sorted((folder / "results").rglob("*.json"))]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"training": {"bf16": True}},
        {"training": {"fp16": True}},
        {"quantization": "4bit", "training": {"bf16": True, "optim": "paged_adamw_8bit"}},
        {"quantization": "8bit"},
    ],
    ids=["float32", "bf16", "fp16", "4bit", "8bit"],
)
def test_runs_and_records_the_device(changes: dict[str, Any], tmp_path: Path) -> None:
    records = run(tmp_path, **changes)
    assert len(records) == 4
    for record in records:
        assert record["status"] == "finished", record.get("error")
        assert record["hardware"]["device"] == torch.cuda.get_device_name()
        # By the allocator: all of this model is below 100 MB, no process with CUDA in it is.
        assert 0 < record["peak_memory_bytes"] < 100e6
        assert record["metrics"]["test"][record["main_metric"]] > 0.7


def test_predicts_and_ranks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = run(tmp_path)
    assert main(["leaderboard", str(tmp_path / "results")]) == 0
    assert (tmp_path / "results" / "LEADERBOARD.md").exists()
    record = next(record for record in records if record["method"] == "houlsby")
    adapter = next(path.parent for path in tmp_path.rglob("adapter_model.safetensors") if "houlsby" in str(path))
    capsys.readouterr()
    assert main(["predict", str(adapter), "--file", str(tmp_path / "test.jsonl"), "--json"]) == 0
    predicted = [json.loads(line)["label"] for line in capsys.readouterr().out.splitlines()]
    right = [row["label"] == label for row, label in zip(sentences(24, start=80), predicted, strict=True)]
    assert sum(right) / 24 == pytest.approx(record["metrics"]["test"]["accuracy"])


def test_measures_speed(tmp_path: Path) -> None:
    model = save_model("bert", tmp_path / "tiny_bert", make_tokenizer(), max_position_embeddings=64)
    out = tmp_path / "speed"
    shape = ["--batch", "2x24", "--lengths", "16", "--repeats", "2"]
    assert main(["speed", "--model", str(model), *shape, "--out", str(out)]) == 0
    record = json.loads((out / "tiny_bert.json").read_text())
    assert record["device"] == "cuda"
    memory = {entry["candidate"]: entry["peaks"] for entry in record["memory"]}
    assert all(len(set(peaks)) == 1 and peaks[0] > 0 for peaks in memory.values())  # the allocator counts exactly
    assert memory["houlsby"] < memory["full"]
