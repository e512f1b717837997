"""A run that was killed goes on from its last checkpoint, and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from peft_bottleneck_bench import records
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.run import Run
from peft_bottleneck_bench.training import checkpoints
from peft_bottleneck_bench.training.execute import execute, make_trainer
from peft_bottleneck_bench.training.features import make_features

Configure = Callable[..., Path]

EPOCHS = {"num_train_epochs": 4, "per_device_train_batch_size": 16, "learning_rate": 0.01, "logging_steps": 1}
# What to train, with what training, and where the start that is killed in step 11 of 16 has left its last checkpoint.
CASES: dict[str, tuple[Any, dict[str, Any], int]] = {
    "after an epoch": ("houlsby", {}, 8),
    "within an epoch": ("houlsby", {"save_strategy": "steps", "save_steps": 5}, 10),
    "without PEFT": ("head_only", {"save_strategy": "steps", "save_steps": 3}, 9),
    "a random order": ("lora", {"train_sampling_strategy": "random", "save_strategy": "steps", "save_steps": 5}, 10),
    "never": ("houlsby", {"save_strategy": "no"}, 0),
}


def one_run(path: Path, *overrides: str) -> Run:
    (run,) = plan(load_configuration(path, overrides))
    return run


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, bert: Path) -> dict[str, Path]:
    """The configuration of each case, whose run was started and killed."""
    from tiny_task import sentences, write_rows

    folder = tmp_path_factory.mktemp("killed")
    sizes = {"train": (64, 0), "validation": (16, 64), "test": (24, 80)}
    data = {
        split: str(write_rows(folder / f"{split}.jsonl", sentences(count, start=start)))
        for split, (count, start) in sizes.items()
    }
    files = {}
    for case, (method, training, _) in CASES.items():
        content = {
            "model": str(bert),
            "tasks": [{"name": "words", "kind": "classification", "data": data}],
            "methods": [method],
            "training": {**EPOCHS, **training},
            "results": str(folder / case / "results"),
        }
        files[case] = folder / f"{case}.yaml"
        files[case].write_text(json.dumps(content))  # JSON is YAML
    command = [sys.executable, str(Path(__file__).with_name("cut_off.py")), *map(str, files.values())]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr[-4000:]
    return files


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork and no SIGKILL")
@pytest.mark.parametrize("case", CASES)
def test_a_killed_run_ends_as_if_nothing_had_happened(case: str, killed: dict[str, Path], tmp_path: Path) -> None:
    run = one_run(killed[case])
    whole = one_run(killed[case], f"results={tmp_path}")
    expected = execute(whole, make_features(whole), lambda step, steps: None)
    left = sorted(run.adapter_path.parent.rglob("checkpoint-*"))
    step = CASES[case][2]
    assert [folder.name for folder in left] == ([f"checkpoint-{step}"] if step else [])
    steps: list[int] = []
    record = execute(run, make_features(run), lambda step, _: steps.append(step))
    assert steps == list(range(step + 1, 17))
    for name in ("metrics", "report", "loss_curve", "validation_curve", "best_step", "run"):
        assert getattr(record, name) == getattr(expected, name), name
    for of in (
        lambda r: records.predictions_path(r.record_path),
        lambda r: next(r.adapter_path.glob("*.safetensors")),
    ):
        assert of(run).read_bytes() == of(whole).read_bytes()
    assert not list(run.adapters.rglob("*.partial"))


def test_a_checkpoint_holds_what_is_trained_alone(configure: Configure, tmp_path: Path) -> None:
    run = one_run(configure(methods=["houlsby"]))
    make_trainer(run, make_features(run), tmp_path, lambda step, steps: None).train()
    folder = checkpoints.latest(tmp_path / checkpoints.FOLDER)
    assert folder is not None
    assert folder.name == "checkpoint-8"  # the one before it is gone
    saved = load_file(folder / checkpoints.PARAMETERS_FILE)
    assert sum(tensor.numel() for tensor in saved.values()) == run.trainable_parameters
    assert sum(file.stat().st_size for file in folder.iterdir()) < 6 * 4 * run.trainable_parameters + 60_000


def test_seconds_and_memory_of_all_starts_count(configure: Configure, tmp_path: Path) -> None:
    run = one_run(configure(methods=["head_only"]), "training.save_strategy=steps", "training.save_steps=4")
    features = make_features(run)
    make_trainer(run, features, tmp_path, lambda step, steps: None).train()
    checkpoint = checkpoints.latest(tmp_path / checkpoints.FOLDER)
    assert checkpoint is not None
    file = checkpoint / checkpoints.PROGRESS_FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), "seconds": 1000.0, "peak_memory_bytes": 2**50}))
    trainer = make_trainer(run, features, tmp_path, lambda step, steps: None)
    trainer.train(checkpoint)
    assert 1000 < trainer.clock.seconds < 1100
    assert trainer.peak_memory_bytes == 2**50


def checkpoint_of(run: Run, work: Path) -> Path:
    """The last checkpoint of a training in `work`."""
    make_trainer(run, make_features(run), work, lambda step, steps: None).train()
    checkpoint = checkpoints.latest(work / checkpoints.FOLDER)
    assert checkpoint is not None
    return checkpoint


def rewrite(file: Path, **changes: Any) -> None:
    """The JSON of a progress file with some fields changed, or gone where the value is ..."""
    content = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({name: value for name, value in content.items() if value is not ...}))


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "no progress file": lambda folder: (folder / "progress.json").unlink(),
    "half a progress file": lambda folder: (folder / "progress.json").write_text('{"seconds": 1.0, "bes'),
    "null": lambda folder: (folder / "progress.json").write_text("null"),
    "a list, nested deep": lambda folder: (folder / "progress.json").write_text("[" * 200_000),
    "bytes that are no text": lambda folder: (folder / "progress.json").write_bytes(b"\xff\xfe\x00"),
    "a field more": lambda folder: rewrite(folder / "progress.json", new=1),
    "a field less": lambda folder: rewrite(folder / "progress.json", best=...),
    "other packages": lambda folder: rewrite(folder / "progress.json", versions={"torch": "1.0"}),
    "a field of another type": lambda folder: rewrite(folder / "progress.json", best=[]),
    "seconds that are text": lambda folder: rewrite(folder / "progress.json", seconds="1.0"),
    "an optimiser cut short": lambda folder: os.truncate(folder / "optimizer.pt", 100),
    "no parameters": lambda folder: (folder / "parameters.safetensors").unlink(),
    "no best parameters": lambda folder: (folder / "best.safetensors").unlink(),
    "a state of the trainer that is empty": lambda folder: (folder / "trainer_state.json").write_text(""),
    "a folder without a number": lambda folder: folder.rename(folder.with_name("checkpoint-x")),
    "a file in its place": lambda folder: (shutil.rmtree(folder), folder.write_text("")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_left_out_and_the_run_trains_afresh(
    configure: Configure, damage: str, tmp_path: Path
) -> None:
    run = one_run(configure(methods=["head_only"]))
    work = run.adapter_path.with_name(f"{run.adapter_path.name}.partial")
    DAMAGE[damage](checkpoint_of(run, work))
    steps: list[int] = []
    said: list[str] = []
    record = execute(run, make_features(run), lambda step, _: steps.append(step), said.append)
    assert (record.status, steps) == ("finished", list(range(1, 9)))
    (line,) = said
    assert re.fullmatch(r".*/checkpoint-\w+: left out: .+", line)


def test_of_two_checkpoints_the_whole_one_is_gone_on_from(configure: Configure, tmp_path: Path) -> None:
    whole = checkpoint_of(one_run(configure(methods=["head_only"])), tmp_path)
    shutil.copytree(whole, whole.with_name("checkpoint-99"))
    os.truncate(whole.with_name("checkpoint-99") / "optimizer.pt", 100)
    assert checkpoints.latest(tmp_path / checkpoints.FOLDER) == whole
