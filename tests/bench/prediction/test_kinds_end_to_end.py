"""Every kind of text, from its file to a record, and back through `predict`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_task import BAD, GOOD, make_tokenizer, save_model, write_rows
from transformers import PreTrainedTokenizerFast

from peft_bottleneck_bench import records
from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.training.execute import execute
from peft_bottleneck_bench.training.features import make_features


def rows_of(kind: str, count: int, start: int = 0) -> list[dict[str, Any]]:
    rows = []
    for number in range(start, start + count):
        good, word = number % 2 == 0, (GOOD, BAD)[number % 2][number // 2 % 4]
        text, label = f"the film was {word}", "fine" if good else "poor"
        rows.append(
            {
                "multilabel_classification": {"text": text, "labels": ["fine", "good"] if good else ["poor"]},
                "regression": {"text": text, "score": 1005.0 if good else 995.0},  # far from what a fresh head says
                "prompt": {"question": text, "target": [label, word], "key": label},
                "messages": {
                    "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": label}],
                },
                "multiple_choice": {"question": text, "choices": ["fine", "poor"], "answer": int(not good)},
            }[kind]
        )
    return rows


TASKS: dict[str, dict[str, Any]] = {
    "multilabel_classification": {"kind": "multilabel_classification", "class_weights": "balanced"},
    "regression": {"kind": "regression", "main_metric": "pearson"},
    "prompt": {
        "kind": "generation",
        "prompt": "{question} is",
        "columns": {"reference": "key"},
        "metric": "choice",
        "metric_options": {"pattern": "fine|poor"},
    },
    "messages": {"kind": "generation", "metric": "exact_match"},
    "multiple_choice": {"kind": "multiple_choice", "prompt": "{question} is", "main_metric": "accuracy_norm"},
}


@pytest.fixture
def writer(tmp_path: Path) -> Path:
    """A decoder-only model that can learn to answer."""
    backend = make_tokenizer((*GOOD, *BAD, "the", "film", "was", "is", "user", "assistant", ":")).backend_tokenizer
    backend.post_processor = None
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]", model_max_length=64
    )
    return save_model("llama", tmp_path / "tiny_llama", tokenizer, num_key_value_heads=2)


@pytest.mark.parametrize("kind", TASKS)
def test_a_kind_is_learned_and_predicts_as_in_its_run(
    configure: Callable[..., Path],
    bert: Path,
    writer: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    files = {
        split: str(write_rows(tmp_path / f"{kind}-{split}.jsonl", rows_of(kind, count, start)))
        for split, count, start in (("train", 48, 0), ("validation", 8, 48), ("test", 12, 56))
    }
    configuration = configure(
        model=str(bert if kind in ("multilabel_classification", "regression") else writer),
        tasks=[{"name": "mine", "data": files, **TASKS[kind]}],
        methods=["full"],
        training={
            "num_train_epochs": 15,
            "per_device_train_batch_size": 8,
            "learning_rate": 0.01,
            "generation_max_length": 4,
        },
    )
    (run,) = plan(load_configuration(configuration))
    record = execute(run, make_features(run), lambda step, steps: None)
    assert record.metrics.test[run.metric.main] > 0.9
    assert kind != "regression" or record.metrics.test["mse"] < 5  # of 25 for the mean alone
    recorded = [row.prediction for row in records.read_predictions(records.predictions_path(run.record_path))]
    target = run.kind.columns[-1]
    inputs = [{name: row[name] for name in row if name not in run.kind.predicted} for row in run.data.splits["test"]]
    new = str(write_rows(tmp_path / "new.jsonl", inputs))
    assert main(["predict", str(run.adapter_path), "--file", new, "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer[target] for answer in answers] == recorded
    assert main(["predict", str(run.adapter_path), "--file", new]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(inputs)
