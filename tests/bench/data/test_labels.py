"""Labels that are one by mistake, and what stands out in the examples before training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_task import write_rows

from peft_bottleneck_bench.data.labels import near_identical
from peft_bottleneck_bench.data.loading import Data, load_data
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.kinds import KINDS
from peft_bottleneck_bench.tasks import Files, Task


def load(folder: Path, names: list[Any], texts: list[str] | None = None, test: Any = None, **fields: Any) -> Data:
    texts = texts or [f"text {number}" for number in range(len(names))]
    rows = [{"text": text, "label": label} for text, label in zip(texts, names, strict=True)]
    train = str(write_rows(folder / "train.jsonl", rows))
    other = str(write_rows(folder / "test.jsonl", test or [{"text": "other", "label": names[0]}]))
    task = Task(name="mine", kind="classification", data=Files(train=train, validation=other, test=other), **fields)
    return load_data(task, KINDS["classification"], {})


def test_white_space_makes_no_label_of_its_own(tmp_path: Path) -> None:
    data = load(tmp_path, ["yes", " yes", "no", "no\u00a0", "yes\t"])
    assert data.labels == ("no", "yes")
    assert [row["label"] for row in data.splits["train"]] == ["yes", "yes", "no", "no", "yes"]
    assert load(tmp_path, ["yes", "no"], labels=("yes ", "no")).labels == ("yes", "no")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["Yes", "no", "yes"], "task 'mine': the labels 'Yes', 'yes' differ in case only"),
        (["a", "nan", "b"], "task 'mine': 'nan' is a label: a missing value that became text"),
        (["a", "NaN", "b"], "task 'mine': 'NaN' is a label"),
    ],
)
def test_a_label_that_looks_like_a_mistake_is_refused(tmp_path: Path, labels: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        load(tmp_path, labels)
    assert error.value.messages[0].startswith(message)
    assert load(tmp_path, labels, labels=tuple(sorted(labels))).labels == tuple(sorted(labels))


def test_a_label_is_listed_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="task 'mine': labels: 'a' is listed 2 times"):
        load(tmp_path, ["a", "b"], labels=("a", "b", "a "))


def test_a_missing_label_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'label' must be a name or a whole number, found ' '"):
        load(tmp_path, ["a", " "])
    with pytest.raises(UserError, match="'label' must be a name or a whole number, found nan"):
        load(tmp_path, ["a", float("nan")])


def test_labels_that_are_numbers_are_no_counts(tmp_path: Path) -> None:
    assert load(tmp_path, [5, 5, 1, 3]).notes[0] == "3 labels in train: '5' 2, '1' 1, '3' 1"
    assert load(tmp_path, ["5 stars", "5 stars", "top 10"]).notes[0] == "2 labels in train: 5 stars 2, 'top 10' 1"


def test_the_notes_say_what_stands_out(tmp_path: Path) -> None:
    labels = ["good"] * 40 + ["bad"] * 4 + ["not_sure", "not sure"]
    texts = [f"text {number}" for number in range(45)] + ["text 0"]
    test = [{"text": text, "label": "good"} for text in ("text 3", "Text  4", "new", "", "new")]
    notes = load(tmp_path, labels, texts, test, labels=("good", "bad", "not_sure", "not sure", "never")).notes
    assert notes == (
        "5 labels in train: good 40, bad 4, not_sure 1, not sure 1, never 0",
        "labels with one example in train: 'not_sure', 'not sure'",
        "labels without an example in train: 'never'",
        "labels that are nearly the same: 'not_sure', 'not sure'",
        "examples of train with the text of another one of it: 1",
        "examples of validation with the text of another one of it: 1",
        "examples of test with the text of another one of it: 1",
        "examples of validation with the text of one of train: 1, and 1 but for case and spaces",
        "examples of test with the text of one of train: 1, and 1 but for case and spaces",
        "examples of test with the text of one of validation: 5",
        "examples of validation without text: 1",
        "examples of test without text: 1",
    )


def test_imbalance_is_said(tmp_path: Path) -> None:
    notes = load(tmp_path, ["a"] * 40 + ["b"] * 4).notes
    assert "the most frequent label has 10 times the examples of the rarest" in notes


@pytest.mark.parametrize(
    ("labels", "groups"),
    [
        (["1", "1.0", "2"], [["1", "1.0"]]),
        (["not_entailment", "not-entailment", "entailment"], [["not_entailment", "not-entailment"]]),
        (["e1,e2", "e2,e1"], []),
        (["+", "-"], []),
        (["ﬁne", "fine"], [["ﬁne", "fine"]]),
    ],
)
def test_labels_that_are_nearly_the_same(labels: list[str], groups: list[list[str]]) -> None:
    assert near_identical(labels) == groups


def test_scores_that_are_all_equal_are_said(tmp_path: Path) -> None:
    train = [{"text": f"text {number}", "score": number} for number in range(4)]
    files = [str(write_rows(tmp_path / f"{n}.jsonl", rows)) for n, rows in (("a", train), ("b", train[2:3] * 2))]
    task = Task(name="mine", kind="regression", data=Files(train=files[0], validation=files[0], test=files[1]))
    said = "all scores of test are 2.0: correlations with them are undefined, and count as 0"
    assert said in load_data(task, KINDS["regression"], {}).notes
    assert not [note for note in load_data(task, KINDS["regression"], {}).notes if "train are" in note]
