"""The field's standard sets: each task reads rows of its source's columns and types, the way it reads the hub."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from datasets import Dataset, Features
from hub_rows import HUB_SETS, HubSet

from peft_bottleneck_bench.data.loading import load_data
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.grid.task_setup import check_references, metric_of
from peft_bottleneck_bench.kinds import KINDS
from peft_bottleneck_bench.metrics.semeval2010_task8 import LABELS
from peft_bottleneck_bench.tasks import Files, Hub, Task, load_task, task_names

SEMEVAL = load_task("semeval2010_task8")


def test_every_task_of_the_hub_has_rows_here() -> None:
    assert set(HUB_SETS) == {name for name in task_names() if isinstance(load_task(name).data, Hub)}


def as_on_the_hub(hub: Hub, rows: HubSet, folder: Path) -> Hub:
    """Writes a repository as `hub` expects it: with its configurations, or with folders, one per split."""
    splits = {part.partition("[")[0] for part in (hub.train, hub.validation, hub.test) if isinstance(part, str)}
    data = Dataset.from_list(rows.rows, features=Features(rows.features))
    for split in splits:
        data.to_parquet(folder / (hub.config or hub.folder or "default") / split / "0000.parquet")
    if hub.config:
        lines = [f"  - split: {split}\n    path: {hub.config}/{split}/*\n" for split in sorted(splits)]
        card = f"---\nconfigs:\n- config_name: {hub.config}\n  data_files:\n{''.join(lines)}---\n"
        (folder / "README.md").write_text(card)
    elif hub.folder:  # what stands beside the folder must not be read
        Dataset.from_dict({"other": [1]}).to_parquet(folder / "other" / "train" / "0000.parquet")
    few = min(hub.validation, 1) if isinstance(hub.validation, int) else hub.validation
    return replace(hub, id=str(folder), validation=few)


@pytest.mark.parametrize("name", HUB_SETS)
def test_rows_become_examples(name: str, tmp_path: Path) -> None:
    task = load_task(name)
    assert isinstance(task.data, Hub)
    data = as_on_the_hub(task.data, HUB_SETS[name], tmp_path / "repository")
    if name == "sst2":  # its rows are fewer than what it cuts off train
        data = replace(data, train="train[:-1]", validation="train[-1:]")
    read = load_data(replace(task, data=data), KINDS[task.kind], {})
    assert read.splits["test"][0] == HUB_SETS[name].example
    assert all(read.counts.values())
    assert read.labels == task.labels or not task.labels
    metric = metric_of(task)
    check_references(task, read, metric)
    assert metric.main == task.main_metric


def test_rows_without_a_text_are_left_out(tmp_path: Path) -> None:
    for name in ("wmt16_ro_en", "xsum", "samsum"):
        task = load_task(name)
        assert isinstance(task.data, Hub)
        rows = HUB_SETS[name]
        data = as_on_the_hub(task.data, rows, tmp_path / name)
        read = load_data(replace(task, data=data), KINDS[task.kind], {})
        assert read.counts["train"] == len(rows.rows) * 2 // 3


def test_the_labels_of_semeval_are_those_of_its_scorer() -> None:
    assert SEMEVAL.labels == LABELS


def test_tacred_reads_the_files_of_its_distribution(tmp_path: Path) -> None:
    row = {
        "id": "e779",
        "docid": "AFP",
        "relation": "per:title",
        "token": ["Ann", "Lee", ",", "a", "baker", ",", "spoke", "."],
        "subj_start": 0,
        "subj_end": 1,
        "obj_start": 4,
        "obj_end": 4,
        "subj_type": "PERSON",
        "obj_type": "TITLE",
        "stanford_pos": ["NNP"] * 8,
    }
    path = tmp_path / "train.json"
    path.write_text(json.dumps([row, {**row, "relation": "no_relation"}]))
    task: Task = replace(load_task("tacred"), data=Files(train=str(path), validation=str(path), test=str(path)))
    data = load_data(task, KINDS[task.kind], {})
    assert data.labels == ("no_relation", "per:title")
    assert data.splits["train"][0] == {
        "text": "Ann Lee , a baker , spoke .",
        "head": {"start": 0, "end": 7, "type": "PERSON"},
        "tail": {"start": 12, "end": 17, "type": "TITLE"},
        "relation": "per:title",
    }
    assert metric_of(task).options["negative_label"] == "no_relation"


def test_rows_of_another_form_are_refused_by_column(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text(json.dumps([{"text": "Ann bakes.", "relation": "none"}]))
    task = replace(load_task("tacred"), data=Files(train=str(path), validation=str(path), test=str(path)))
    with pytest.raises(UserError) as error:
        load_data(task, KINDS[task.kind], {})
    assert error.value.messages == (
        f"{path}, row 1: no column 'subj_start', which task 'tacred' reads; the row has 'text', 'relation'",
    )
