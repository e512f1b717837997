"""The entries of `tasks`: what they may say of data, and the words for what they may not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from peft_bottleneck_bench import load_configuration, plan
from peft_bottleneck_bench.configuration.findings import Findings
from peft_bottleneck_bench.configuration.task_entries import read_task
from peft_bottleneck_bench.tasks import Files, Hub, Task, load_task

FILES = {"train": "a.csv", "validation": "b.csv", "test": "c.csv"}


def read(entry: Any, folder: Path = Path("nowhere")) -> Task:
    findings = Findings("mine.yaml")
    task = read_task(entry, findings, folder)
    assert findings.errors == []
    assert task is not None
    return task


def messages(entry: Any) -> list[str]:
    findings = Findings("mine.yaml")
    read_task(entry, findings, Path("nowhere"))
    return [message for error in findings.errors for message in error.messages]


def test_files_of_every_form(tmp_path: Path) -> None:
    (tmp_path / "a.en").touch()
    data = {"train": ["a.en", "a.de"], "validation": 20, "test": ["c.en", "c.de"], "format": "csv"}
    task = read({"name": "mine", "kind": "translation", "data": data}, tmp_path)
    pair = (str(tmp_path / "a.en"), "a.de")
    assert task.data == Files(train=pair, validation=20, test=("c.en", "c.de"), format="csv")


def test_a_tab_may_be_written_as_in_other_languages() -> None:
    """`delimiter: '\\t'` is two characters in YAML."""
    for written in ("\t", r"\t"):
        data = read({"name": "mine", "kind": "ner", "data": {**FILES, "delimiter": written}}).data
        assert data == Files(**FILES, delimiter="\t")


def test_a_licence_reaches_the_record_and_decides_on_nothing_else(configure: Callable[..., Path]) -> None:
    path = configure(methods=["head_only"])
    (without,) = plan(load_configuration(path)).runs
    entry = {**yaml.safe_load(path.read_text())["tasks"][0], "licence": "CC BY 4.0"}
    (stated,) = plan(load_configuration(configure(methods=["head_only"], tasks=[entry]))).runs
    assert stated.data_record.licence == "CC BY 4.0"
    assert without.data_record.licence is None
    assert stated.data_record.identity == without.data_record.identity
    assert stated.hash == without.hash


def test_a_part_of_a_hub_data_set() -> None:
    data = {"hub": "someone/texts", "revision": "abc", "folder": "one", "validation": 100}
    task = read({"name": "mine", "kind": "classification", "data": data})
    assert task.data == Hub(id="someone/texts", revision="abc", folder="one", validation=100)


def test_a_registered_task_on_other_files_keeps_the_rest() -> None:
    task = read({"name": "tacred", "data": FILES, "markers": "untyped"})
    registered = load_task("tacred")
    assert task.data == Files(**FILES)
    assert task.markers == "untyped"
    assert (task.convert, task.negative_label) == (registered.convert, "no_relation")


def test_a_negative_label_may_look_like_a_number() -> None:
    task = read({"name": "mine", "kind": "relation_extraction", "data": FILES, "negative_label": 0})
    assert task.negative_label == "0"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "mine", "kind": "ner"}, "'data' is missing: a task of one's own has both `kind` and `data`"),
        ({"name": "mine", "data": FILES}, "'kind' is missing: a task of one's own has both `kind` and `data`"),
        (
            {"name": "mine", "kind": "ner", "data": {**FILES, "format": "conl"}},
            "data.format: unknown format 'conl': did you mean 'conll'?",
        ),
        (
            {"name": "mine", "kind": "ner", "data": {**FILES, "train": ["a", 3]}},
            "data.train: expected files of one format, or two line-aligned ones, found ['a', 3]",
        ),
        (
            {"name": "mine", "kind": "ner", "data": {**FILES, "validation": 0}},
            "data.validation: 0 would leave the split empty",
        ),
        (
            {"name": "mine", "kind": "ner", "data": {**FILES, "test": 100}},
            "data.test: expected the path of a file, found 100",
        ),
        (
            {"name": "mine", "kind": "ner", "data": FILES, "negative_label": "O"},
            "negative_label: it has no effect on ner",
        ),
        (
            {"name": "mine", "kind": "ner", "data": {"hub": "a/b", "revision": "c", "validation": 0}},
            "data.validation: 0 would leave the split empty",
        ),
        (
            {"name": "mine", "kind": "ner", "data": {"hub": "a/b", "revision": "c", "train": 5}},
            "data.train: expected text, found 5",
        ),
        ({"name": "mine", "kind": "ner", "data": FILES, "metric": 3}, "metric: expected text, found 3"),
        *(
            (
                {"name": "mine", "kind": "ner", "data": {**FILES, "delimiter": mark}},
                f"data.delimiter: expected one character, found {mark!r}",
            )
            for mark in ("\n", "\r", "\0", "", ";;", 7)
        ),
        *(
            (
                {"name": "mine", "kind": "ner", "data": FILES, "labels": ["PER", no]},
                f"labels: expected names, found {no}",
            )
            for no in (None, 1.5)
        ),
    ],
)
def test_what_does_not_fit_is_named(entry: dict[str, Any], message: str) -> None:
    assert messages(entry) == [f"mine.yaml: task 'mine': {message}"]
