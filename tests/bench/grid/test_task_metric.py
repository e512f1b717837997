"""The metric of a task, and what it refuses before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_task import write_rows

from peft_bottleneck_bench.data.loading import load_data
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.grid.task_setup import check_references, metric_of
from peft_bottleneck_bench.kinds import KINDS
from peft_bottleneck_bench.metrics.semeval2010_task8 import LABELS
from peft_bottleneck_bench.tasks import Files, Task

ENTITIES = {"head": {"start": 0, "end": 1}, "tail": {"start": 2, "end": 3}}


def relations(folder: Path, names: list[str], **fields: Any) -> Task:
    file = str(write_rows(folder / "rows.jsonl", [{"text": "a b", **ENTITIES, "relation": name} for name in names]))
    files = Files(train=file, validation=file, test=file)
    return Task(name="pairs", kind="relation_extraction", data=files, **fields)


def test_the_negative_label_is_left_out_of_f1(tmp_path: Path) -> None:
    task = relations(tmp_path, ["Cause", "Part", "none"], negative_label="none")
    metric = metric_of(task)
    references = ["Cause", "Part", "none", "none"]
    predictions = ["Cause", "none", "none", "none"]
    scores = metric.compute(references=references, predictions=predictions)
    assert scores["micro_f1"] == pytest.approx(2 / 3)  # precision 1/1, recall 1/2
    assert scores["macro_f1"] == pytest.approx(1 / 2)  # Cause 1, Part 0
    assert metric.options["negative_label"] == "none"


def test_the_metric_of_semeval_is_chosen_by_name(tmp_path: Path) -> None:
    task = relations(tmp_path, list(LABELS), metric="semeval2010_task8")
    metric = metric_of(task)
    data = load_data(task, KINDS[task.kind], {})
    check_references(task, data, metric)
    references = KINDS[task.kind].references(data.splits["test"])
    assert metric.compute(references=references, predictions=references)["macro_f1"] == 1.0


def test_the_metric_of_semeval_knows_its_own_relations_alone(tmp_path: Path) -> None:
    task = relations(tmp_path, ["Other", "Cause-Effect"], metric="semeval2010_task8")
    with pytest.raises(UserError) as error:
        check_references(task, load_data(task, KINDS[task.kind], {}), metric_of(task))
    (message,) = error.value.messages
    assert message.startswith(
        "task 'pairs': metric 'semeval2010_task8' does not take 'Cause-Effect' of validation: "
        "unknown relation: choose from Cause-Effect(e1,e2), Cause-Effect(e2,e1), "
    )
    assert message.endswith("Other")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"metric": "semeval2010_task8", "main_metric": "micro_f1"},
            "metric 'semeval2010_task8' has no score 'micro_f1': did you mean 'macro_f1'?",
        ),
        (
            {"metric": "semeval2010_task8", "negative_label": "Other"},
            "negative_label: metric 'semeval2010_task8' takes none, it has rules of its own",
        ),
    ],
)
def test_what_a_metric_does_not_have_is_named(tmp_path: Path, fields: dict[str, str], message: str) -> None:
    with pytest.raises(UserError) as error:
        metric_of(relations(tmp_path, ["Other", "Cause"], **fields))
    assert error.value.messages[0].startswith(f"task 'pairs': {message}")
