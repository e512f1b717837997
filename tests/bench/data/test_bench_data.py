"""Checked examples from files and hub data sets, and errors that name the row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Value
from tiny_task import sentences, write_rows

from peft_bottleneck_bench.data.loading import Data, load_data
from peft_bottleneck_bench.data.sources import HubRows, identity
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.kinds import KINDS
from peft_bottleneck_bench.tasks import Files, Hub, Task


def load(data: Files | Hub, limits: dict[str, int] | None = None, **fields: Any) -> Data:
    task = Task(name="words", kind="classification", data=data, **fields)
    return load_data(task, KINDS["classification"], limits or {})


def files_of(folder: Path, **splits: list[dict[str, Any]]) -> Files:
    rows = {split: sentences(4) for split in ("train", "validation", "test")} | splits
    return Files(**{split: str(write_rows(folder / f"{split}.jsonl", rows[split])) for split in rows})


def errors_of(data: Files | Hub, **fields: Any) -> tuple[str, ...]:
    with pytest.raises(UserError) as error:
        load(data, **fields)
    return error.value.messages


def test_examples_labels_and_counts(files: dict[str, str]) -> None:
    data = load(Files(**files))
    assert data.labels == ("negative", "positive")
    assert data.counts == {"train": 64, "validation": 16, "test": 24}
    assert data.splits["test"][0] == sentences(1, start=80)[0]


@pytest.mark.parametrize(
    ("given", "expected"),
    [([3, 11, 2], ("2", "3", "11")), (["b", "a", "b"], ("a", "b")), ([0, "1", 1], ("0", "1"))],
)
def test_labels_are_those_of_train_by_number_or_name(tmp_path: Path, given: list[Any], expected: tuple[str]) -> None:
    rows = [{"text": "a", "label": label} for label in given]
    assert load(files_of(tmp_path, train=rows, validation=rows, test=rows)).labels == expected


def test_given_labels_keep_their_order(files: dict[str, str]) -> None:
    assert load(Files(**files), labels=("positive", "negative")).labels == ("positive", "negative")


def test_columns_are_mapped(tmp_path: Path) -> None:
    rows = [{"sentence": "a", "gold": label, "text": "no"} for label in "xyxy"]
    data = load(
        files_of(tmp_path, train=rows, validation=rows, test=rows), columns={"text": "sentence", "label": "gold"}
    )
    assert data.splits["train"][1] == {"text": "a", "label": "y"}


def test_limits_keep_the_same_examples_in_order_every_time(tmp_path: Path) -> None:
    whole = [{"text": f"text {number}", "label": "xy"[number % 2]} for number in range(64)]
    files = files_of(tmp_path, train=whole, validation=whole, test=whole[:24])
    small = load(files, {"train": 10}).splits["train"]
    larger = load(files, {"train": 20, "test": 999})
    assert len(small) == 10
    assert [whole.index(row) for row in small] == sorted(whole.index(row) for row in small)
    assert small != whole[:10]
    assert small == load(files, {"train": 10}).splits["train"]
    assert all(row in larger.splits["train"] for row in small)
    assert len(larger.splits["test"]) == 24


def test_labels_that_a_limit_leaves_out_stay_known(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": label} for label in "abcdefgh"]
    data = load(files_of(tmp_path, train=rows, validation=rows, test=rows), {"train": 2})
    assert data.labels == tuple("abcdefgh")


def test_the_content_of_the_files_is_the_identity(tmp_path: Path, files: dict[str, str]) -> None:
    first = load(Files(**files)).identity
    assert load(Files(**files)).identity == first
    write_rows(Path(files["test"]), sentences(24, start=81))
    assert load(Files(**files)).identity["test"] != first["test"]
    assert load(Files(**files)).identity["train"] == first["train"]


def test_an_unknown_label_is_named_with_its_line(tmp_path: Path) -> None:
    test = [*sentences(2), {"text": "so so", "label": "neutral"}]
    assert errors_of(files_of(tmp_path, test=test)) == (
        f"{tmp_path}/test.jsonl, line 3: unknown label 'neutral', known are 'negative', 'positive'",
    )


def test_wrong_rows_of_all_splits_are_told_at_once(tmp_path: Path) -> None:
    data = files_of(
        tmp_path,
        train=[*sentences(2), {"text": 3, "label": "negative"}],
        validation=[*sentences(1), {"text": "b", "label": 1.5}],
        test=[{"text": "c"}],
    )
    assert errors_of(data, labels=("negative", "positive")) == (
        f"{tmp_path}/train.jsonl, line 3: 'text' must be text, found 3",
        f"{tmp_path}/validation.jsonl, line 2: 'label' must be a name or a whole number, found 1.5",
        f"{tmp_path}/test.jsonl, line 1: no column 'label' (classification needs it), the row has 'text'; "
        "map a column to it with `columns: {label: …}`",
    )


def test_missing_and_empty_files_are_told_at_once(tmp_path: Path) -> None:
    data = files_of(tmp_path, validation=[])
    Path(data.test).unlink()
    assert errors_of(data) == (
        f"task 'words': validation split: {tmp_path}/validation.jsonl: the file has no rows",
        f"task 'words': test split: {tmp_path}/test.jsonl: no such file",
    )


def test_one_label_is_no_task(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "x"}]
    assert errors_of(files_of(tmp_path, train=rows, validation=rows, test=rows)) == (
        "task 'words': classification needs at least 2 labels, train has 'x'",
    )


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A data set as the hub serves it, with label numbers and a split of withheld labels."""
    features = Features(
        {"sentence": Value("string"), "label": ClassLabel(names=["neg", "pos"]), "idx": Value("int32")}
    )
    rows = {"sentence": [f"s{number}" for number in range(8)], "label": [0, 1] * 4, "idx": list(range(8))}
    withheld = {"sentence": ["t"], "label": [-1], "idx": [0]}
    folder = tmp_path / "reviews"
    for split, content in {"train": rows, "validation": rows, "test": withheld}.items():
        Dataset.from_dict(content, features=features).to_parquet(folder / f"{split}.parquet")
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n"
        + "".join(f"  - split: {split}\n    path: {split}.parquet\n" for split in ("train", "validation", "test"))
        + "---\n"
    )
    return folder


def test_hub_splits_and_label_names(hub: Path) -> None:
    source = Hub(id=str(hub), revision="main", train="train[:-2]", validation="train[-2:]", test="validation")
    data = load(source, columns={"text": "sentence"})
    assert data.labels == ("neg", "pos")
    assert data.counts == {"train": 6, "validation": 2, "test": 8}
    assert data.splits["validation"] == [{"text": "s6", "label": "neg"}, {"text": "s7", "label": "pos"}]
    assert data.identity == {
        "hub": str(hub),
        "config": None,
        "revision": "main",
        "train": "train[:-2]",
        "validation": "train[-2:]",
        "test": "validation",
    }


def test_the_commit_behind_a_branch_is_the_revision_of_the_data(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    for folder in (commit, "main"):
        Dataset.from_dict({"text": ["a"]}).save_to_disk(tmp_path / folder)
    kept, other = (
        HubRows(Dataset.from_file(str(next((tmp_path / folder).glob("*.arrow")))), "texts")
        for folder in (commit, "main")
    )
    source = Hub(id="someone/texts", revision="refs/convert/parquet")
    assert identity(source, kept)["revision"] == commit
    assert identity(source, other)["revision"] == "refs/convert/parquet"


def test_withheld_labels_of_a_hub_split_are_named(hub: Path) -> None:
    source = Hub(id=str(hub), revision="main")
    assert errors_of(source, columns={"text": "sentence"}) == (
        f"{hub}[test], row 1: 'label' must be a name or a whole number, found None",
    )


def test_a_hub_data_set_that_cannot_be_had_is_named() -> None:
    (message,) = errors_of(Hub(id="nobody/nothing", revision="abc"))
    assert message.startswith("task 'words': nobody/nothing[train] at revision abc: ")
    assert "\n" not in message


def test_a_number_takes_validation_out_of_train(tmp_path: Path) -> None:
    whole = [{"text": f"text {number}", "label": "xy"[number % 2]} for number in range(20)]
    files = files_of(tmp_path, train=whole)
    held_out = Files(train=files.train, validation=5, test=files.train)
    data = load(held_out)
    validation = [whole.index(row) for row in data.splits["validation"]]
    assert len(validation) == 5
    assert validation == sorted(validation)
    assert validation != list(range(15, 20))  # not the end: files are often sorted by label
    assert data.splits["train"] == [row for number, row in enumerate(whole) if number not in validation]
    assert load(held_out).splits == data.splits
    assert data.identity["validation"] == {**data.identity["train"], "held_out": 5}


def test_a_row_that_is_taken_out_of_train_keeps_its_line(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "x"} for _ in range(7)]
    files = files_of(tmp_path, train=[*rows, {"text": 1, "label": "x"}])
    (message,) = errors_of(
        Files(train=files.train, validation=4, test=files.test), labels=("x", "negative", "positive")
    )
    assert message == f"{tmp_path}/train.jsonl, line 8: 'text' must be text, found 1"


def test_labels_that_are_only_in_what_is_taken_out_of_train_are_known(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": str(number)} for number in range(8)]
    files = files_of(tmp_path, train=rows, test=rows)
    data = load(Files(train=files.train, validation=4, test=files.test))
    assert data.labels == tuple(str(number) for number in range(8))


def test_train_must_be_left_some_rows(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    assert errors_of(Files(train=files.train, validation=4, test=files.test)) == (
        "task 'words': validation: 4 of the 4 rows of train leave none",
    )


def test_a_number_takes_validation_out_of_the_train_split_of_a_hub_data_set(hub: Path) -> None:
    data = load(Hub(id=str(hub), revision="main", validation=3, test="validation"), columns={"text": "sentence"})
    assert data.counts == {"train": 5, "validation": 3, "test": 8}
    texts = [row["text"] for split in ("train", "validation") for row in data.splits[split]]
    assert sorted(texts) == [f"s{number}" for number in range(8)]
    assert data.identity["validation"] == 3


def test_labels_of_a_hub_data_set_are_those_of_the_whole_split(tmp_path: Path) -> None:
    rows = {"text": ["t"] * 6, "label": ["c", "a", "b", "a", "d", "a"]}
    for split in ("train", "validation", "test"):
        Dataset.from_dict(rows).to_parquet(tmp_path / "texts" / f"{split}.parquet")
    data = load(Hub(id=str(tmp_path / "texts"), revision="main"), {"train": 1, "validation": 1, "test": 1})
    assert data.labels == ("a", "b", "c", "d")


def test_a_folder_of_a_hub_data_set_is_read_alone(tmp_path: Path) -> None:
    for folder, labels in (("one", ["x", "y"]), ("other", ["p", "q", "r"])):
        for split in ("train", "validation", "test"):
            rows = {"text": ["t"] * len(labels), "label": labels}
            Dataset.from_dict(rows).to_parquet(tmp_path / "texts" / folder / split / "0000.parquet")
    data = load(Hub(id=str(tmp_path / "texts"), revision="refs/convert/parquet", folder="other"))
    assert data.labels == ("p", "q", "r")
    assert data.counts == {"train": 3, "validation": 3, "test": 3}


def test_a_limit_on_a_hub_data_set_counts_what_its_converter_makes(hub: Path) -> None:
    read = []

    def convert(row: dict[str, Any]) -> list[dict[str, Any]]:
        read.append(row["idx"])
        return [{"text": f"{row['sentence']} {part}", "label": row["label"]} for part in range(2)] * (row["idx"] > 1)

    data = load(
        Hub(id=str(hub), revision="main", test="train"),
        {"train": 3, "validation": 3, "test": 3},
        convert=convert,
        labels=("neg", "pos"),
    )
    assert data.counts == {"train": 3, "validation": 3, "test": 3}
    assert data.splits["train"] == data.splits["test"]
    assert len(read) < 24


def test_the_negative_label_is_one_of_the_labels(tmp_path: Path) -> None:
    entity = {"head": {"start": 0, "end": 1}, "tail": {"start": 2, "end": 3}}
    rows = [{"text": "a b", **entity, "relation": relation} for relation in ("Cause", "Other")]
    files = files_of(tmp_path, train=rows, validation=rows, test=rows)
    task = Task(name="pairs", kind="relation_extraction", data=files, negative_label="other")
    with pytest.raises(UserError) as error:
        load_data(task, KINDS["relation_extraction"], {})
    assert error.value.messages == ("task 'pairs': negative_label 'other' is no label of it: did you mean 'Other'?",)
