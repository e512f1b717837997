"""Runs of the benchmark on two processes: real launches, against one process with the same batches.

Both see the same examples in each step and start from the same weights; sums are taken in another order. So losses
agree to `TOLERANCE`, and predictions wherever no two labels or words are that close.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_task import make_tokenizer, save_model, sentences, write_rows
from transformers import PreTrainedTokenizerFast

from peft_bottleneck_bench import records
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.grid.running import run_grid
from peft_bottleneck_bench.tasks import load_task

ROOT = Path(__file__).parents[2]
LAUNCH = (sys.executable, "-m", "accelerate.commands.launch", "--main_process_port", "0", "--config_file")
TWO = str(ROOT / "configs" / "accelerate" / "two_cpu_processes.yaml")
TOLERANCE = 1e-4
# Evaluation: no multiple of the batches of two processes. Training: one, else its last batch would be filled up.
SIZES = {"train": 40, "validation": 17, "test": 23}
NO_DROPOUT: dict[str, dict[str, Any]] = {  # its masks are drawn for the batch of each process
    "bert": dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, max_position_embeddings=64),
    "gpt2": dict(n_embd=32, n_layer=2, n_head=2, n_positions=96, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0),
    "t5": dict(d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, dropout_rate=0.0)
    | dict(decoder_start_token_id=0, pad_token_id=0, eos_token_id=3),
}


def launch(*command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Starts two processes; fails unless the launcher's exit code is `code`."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    finished = subprocess.run(
        [*LAUNCH, TWO, *command], capture_output=True, text=True, timeout=500, env=environment, cwd=ROOT
    )
    assert finished.returncode == code, finished.stdout + finished.stderr[-4000:]
    return finished


def write(folder: Path, model: Path, task: Any, method: str, **training: Any) -> Path:
    """The configuration of a run on two processes, as JSON, which is YAML too."""
    folder.mkdir(parents=True)
    content = {
        "model": str(model),
        "tasks": [task],
        "methods": [method],
        "limits": SIZES,
        "training": {
            "num_train_epochs": 2,
            "per_device_train_batch_size": 4,
            "per_device_eval_batch_size": 4,
            "learning_rate": 0.01,
            "logging_steps": 1,
            "generation_max_length": 6,
            **training,
        },
        "results": str(folder / "two"),
    }
    file = folder / "run.yaml"
    file.write_text(json.dumps(content))
    return file


def alone(file: Path, *, batches: int = 2) -> records.Record:
    """The record of the same run on one process with `batches` times its batch size."""
    size = f"training.per_device_train_batch_size={4 * batches}"
    (run,) = plan(load_configuration(file, [size, f"results={file.parent / 'one'}"]))
    (record,) = run_grid([run]).records.values()
    return record


def together(file: Path) -> tuple[Path, records.Record]:
    """The one record that the two processes have written."""
    found, warnings = records.read_all(file.parent / "two")
    assert warnings == []
    ((path, record),) = found.items()
    assert record.status == "finished", record.reason
    assert record.configuration["processes"] == 2
    return path, record


def predictions(folder: Path) -> list[dict[str, Any]]:
    (file,) = folder.rglob("*.predictions.jsonl.gz")
    return records.read_predictions(file)


def words_task(folder: Path) -> dict[str, Any]:
    folder.mkdir()
    files = {
        split: str(write_rows(folder / f"{split}.jsonl", sentences(count, start=100 * number)))
        for number, (split, count) in enumerate(SIZES.items())
    }
    return {"name": "words", "kind": "classification", "data": files}


def tokenizer_for(task: str) -> PreTrainedTokenizerFast:
    text = Path(load_task(task).data.train).read_text(encoding="utf-8")
    backend = make_tokenizer(sorted(set(re.findall(r"\w+|[^\w\s]+", text)))).backend_tokenizer
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", eos_token="[SEP]", model_max_length=64
    )


def assert_same(file: Path) -> None:
    _, two = together(file)
    one = alone(file)
    assert len(two.loss_curve) == len(one.loss_curve)
    for (step, loss), (expected_step, expected) in zip(two.loss_curve, one.loss_curve, strict=True):
        assert step == expected_step
        assert loss == pytest.approx(expected, abs=TOLERANCE)
    assert two.best_step == one.best_step
    for split in ("validation", "test"):
        assert getattr(two.metrics, split) == pytest.approx(getattr(one.metrics, split), abs=TOLERANCE)
    rows, expected_rows = (predictions(file.parent / name) for name in ("two", "one"))
    assert [row.reference for row in rows] == [row.reference for row in expected_rows]
    for row, expected_row in zip(rows, expected_rows, strict=True):
        if isinstance(row.prediction, float):
            assert row.prediction == pytest.approx(expected_row.prediction, abs=TOLERANCE)
        else:
            assert row.prediction == expected_row.prediction


def test_two_processes_run_as_one(tmp_path: Path) -> None:
    """One record, one table, one set of lines, and the scores of one process, from the command itself."""
    model = save_model("bert", tmp_path / "bert", make_tokenizer(), **NO_DROPOUT["bert"])
    file = write(tmp_path / "words", model, words_task(tmp_path / "data"), "houlsby", per_device_train_batch_size=4)
    said = launch("-m", "peft_bottleneck", "run", str(file)).stdout
    assert said.count("[1/1]") == 1
    assert said.count("1 record below") == 1
    assert_same(file)
    path, _ = together(file)
    assert not list((tmp_path / "words").rglob("*.partial"))
    assert [found.name for found in path.parent.iterdir()].count(path.name) == 1


@pytest.mark.slow
def test_every_kind_on_two_processes(tmp_path: Path) -> None:
    bases = {"tiny_translation": "gpt2", "tiny_summaries": "t5"}
    # Where losses are averaged in each process over words (NER, encoder–decoders), or heads have dropout (relations),
    # models are compared untrained: what is scored is then the same, and every example counts once.
    cases = [
        ("tiny_sentiment", "full", {}),
        ("tiny_sentiment", "pfeiffer", {"ddp_find_unused_parameters": False}),
        ("tiny_similarity", "head_only", {}),
        ("tiny_ner", "untuned", {}),
        ("tiny_relations", "untuned", {}),
        ("tiny_translation", "parallel_adapter", {}),
        ("tiny_translation", "pfeiffer", {"generation_num_beams": 2}),
        ("tiny_summaries", "untuned", {}),
        ("tiny_ner", "houlsby", {"early_stopping_patience": 1}),
    ]
    files = []
    for number, (task, method, training) in enumerate(cases):
        base = bases.get(task, "bert")
        model = tmp_path / task
        if not model.exists():
            save_model(base, model, tokenizer_for(task), **NO_DROPOUT[base])
        files.append(write(tmp_path / f"{number}-{task}-{method}", model, task, method, **training))
    said = launch(str(Path(__file__).with_name("launched.py")), *map(str, files)).stdout
    assert said.count("exit code 0") == 2 * len(files)
    for file in files[:-1]:
        assert_same(file)
    _, record = together(files[-1])
    assert record.metrics.test["f1"] >= 0
    assert len(predictions(files[-1].parent / "two")) == SIZES["test"]


@pytest.mark.slow
def test_a_users_error_is_told_once(tmp_path: Path) -> None:
    model = save_model("bert", tmp_path / "bert", make_tokenizer(), **NO_DROPOUT["bert"])
    file = write(tmp_path / "words", model, words_task(tmp_path / "data"), "hulsby")
    finished = launch("-m", "peft_bottleneck", "run", str(file), code=1)  # the launcher's; that of the processes is 2
    assert finished.stderr.count("hulsby") == 1
    assert re.search(r"exitcode\s+: 2", finished.stderr)


@pytest.mark.slow
def test_a_failed_run_ends_in_both_processes(tmp_path: Path) -> None:
    model = save_model("bert", tmp_path / "bert", make_tokenizer(), **NO_DROPOUT["bert"])
    task = words_task(tmp_path / "data")
    failing = write(tmp_path / "failing", model, task, "full", learning_rate=1e30)
    after = write(tmp_path / "after", model, task, "houlsby")
    said = launch(str(Path(__file__).with_name("launched.py")), str(failing), str(after)).stdout
    assert said.count("exit code 1") == said.count("exit code 0") == 2
    (record,) = records.read_all(failing.parent / "two")[0].values()
    assert record.status == "failed"
    assert "the training loss is nan" in record.reason
    together(after)


@pytest.mark.slow
def test_a_process_that_fails_alone_ends_the_launch(tmp_path: Path) -> None:
    model = save_model("bert", tmp_path / "bert", make_tokenizer(), **NO_DROPOUT["bert"])
    file = write(tmp_path / "words", model, words_task(tmp_path / "data"), "houlsby")
    finished = launch(str(Path(__file__).with_name("launched.py")), "--fail-alone", str(file), code=1)
    assert "in process 1 of 2 alone: MemoryError: this device is full" in finished.stderr
    (record,) = records.read_all(file.parent / "two")[0].values()
    assert record.status == "failed"
    assert record.reason == "in process 1 of 2 alone: MemoryError: this device is full"
