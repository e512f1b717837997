"""One run: its record, its adapter, and that it can be had again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from peft import PeftModel
from safetensors.torch import load_file
from tiny_task import sentences, write_rows

from peft_bottleneck_bench import records
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.run import Run
from peft_bottleneck_bench.training.execute import execute, failed
from peft_bottleneck_bench.training.features import make_features

Configure = Callable[..., Path]


def runs_of(path: Path, *overrides: str) -> list[Run]:
    return plan(load_configuration(path, overrides))


def executed(run: Run) -> records.Record:
    return execute(run, make_features(run), lambda step, steps: None)


def test_a_finished_run_leaves_record_predictions_and_adapter(configure: Configure, tmp_path: Path) -> None:
    run, _ = runs_of(configure())
    record = executed(run)
    place = Path("words", "tiny_bert", "houlsby", f"seed0-{run.hash}")
    assert run.record_path == tmp_path / "results" / place.with_suffix(".json")
    assert records.read(run.record_path) == record
    assert record.status == "finished"
    assert dict(record.data.counts) == {"train": 64, "validation": 16, "test": 24}
    assert record.configuration["training"]["weight_decay"] == 0.01  # a default, filled in
    assert record.trainable_parameters < record.total_parameters
    assert record.peak_memory_bytes > 10**8  # an interpreter with PyTorch
    assert record.validation_curve[-1][0] == 8
    rows = records.read_predictions(run.record_path.with_name(record.predictions))
    assert [row.reference for row in rows] == [example["label"] for example in run.data.splits["test"]]
    right = sum(row.prediction == row.reference for row in rows)
    assert record.metrics.test["accuracy"] == pytest.approx(right / 24)
    adapter = tmp_path / "results-adapters" / place
    assert record.adapter_bytes == (adapter / "adapter_model.safetensors").stat().st_size
    assert {path.name for path in adapter.iterdir()} == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "run.json",
    }
    found, warnings = records.read_all(tmp_path / "results")
    assert list(found) == [run.record_path]
    assert warnings == []


def test_the_saved_adapter_gives_the_recorded_predictions(configure: Configure) -> None:
    run, _ = runs_of(configure(), "training.num_train_epochs=3")
    record = executed(run)
    model = PeftModel.from_pretrained(run.kind.load(run.context), run.adapter_path).eval()
    rows = records.read_predictions(run.record_path.with_name(record.predictions))
    for example, row in zip(run.data.splits["test"], rows, strict=True):
        logits = model(**run.model.tokenizer(example["text"], return_tensors="pt")).logits
        assert run.data.labels[logits.argmax()] == row.prediction


def test_a_method_without_a_peft_configuration_saves_what_it_trained(configure: Configure) -> None:
    _, run = runs_of(configure())
    record = executed(run)
    saved = load_file(run.adapter_path / "trained_parameters.safetensors")
    assert sum(tensor.numel() for tensor in saved.values()) == record.trainable_parameters
    assert {path.name for path in run.adapter_path.iterdir()} == {"trained_parameters.safetensors", "run.json"}


def test_the_same_run_gives_the_same_scores_and_weights(configure: Configure, tmp_path: Path) -> None:
    first, second = (runs_of(configure(), f"results={tmp_path}/{name}")[0] for name in "ab")
    assert first.hash == second.hash
    one, two = executed(first), executed(second)
    assert one.metrics == two.metrics
    assert one.loss_curve == two.loss_curve
    names = [run.adapter_path / "adapter_model.safetensors" for run in (first, second)]
    assert names[0].read_bytes() == names[1].read_bytes()


def test_another_seed_is_another_run(configure: Configure) -> None:
    run, other = runs_of(configure(methods=["houlsby"], seeds=[0, 1]))
    assert executed(run).loss_curve != executed(other).loss_curve


def test_a_failed_run_has_a_valid_record_with_its_reason(configure: Configure) -> None:
    run, _ = runs_of(configure())
    failed(run, "RuntimeError: out of memory")
    record = records.read(run.record_path)
    assert (record.status, record.reason) == ("failed", "RuntimeError: out of memory")


def test_the_hash_follows_what_decides_the_score(configure: Configure, files: dict[str, str], tmp_path: Path) -> None:
    path = configure(methods=["houlsby"])
    (run,) = runs_of(path)
    for override in (
        "seeds=[1]",
        "training.learning_rate=0.02",
        "limits.train=32",
        "max_length=8",
        "methods=[{method: houlsby, reduction_factor: 8}]",
        "methods=[pfeiffer]",
    ):
        assert runs_of(path, override)[0].hash != run.hash, override
    for override in (
        "training.logging_steps=1",
        "training.per_device_eval_batch_size=2",
        f"results={tmp_path}/elsewhere",
        "methods=[{method: houlsby, label: mine}]",
    ):
        assert runs_of(path, override)[0].hash == run.hash, override
    write_rows(Path(files["test"]), sentences(25, start=80))
    assert runs_of(path)[0].hash != run.hash
