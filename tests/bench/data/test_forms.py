"""The same rows in the forms that people hold them in."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from tiny_task import sentences, write_rows

from peft_bottleneck_bench.data.files import read_rows
from peft_bottleneck_bench.data.loading import Data, load_data
from peft_bottleneck_bench.data.opened import FREE_BYTES
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.kinds import KINDS
from peft_bottleneck_bench.tasks import Files, Format, Task

ROWS = [{"text": "a; b", "label": "x"}, {"text": "c", "label": "y"}]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def load(kind: str = "classification", **data: Any) -> Data:
    task_fields = {name: data.pop(name) for name in ("columns", "labels") if name in data}
    return load_data(Task(name="mine", kind=kind, data=Files(**data), **task_fields), KINDS[kind], {})


def write(path: Path, content: str) -> Path:
    raw = content.encode()
    if path.suffix == ".gz":
        raw = gzip.compress(raw)
    if path.suffix == ".zst":
        raw = zstandard.compress(raw)
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("compression", ["", ".gz", ".zst"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", LINES),
        ("a.jsonl", json.dumps(ROWS)),
        ("a.json", json.dumps(ROWS)),
        ("a.json", LINES),
        ("a.json", json.dumps({"version": 1, "data": ROWS})),
        ("a.json", json.dumps({"text": ["a; b", "c"], "label": ["x", "y"]})),
        ("a.json", json.dumps({"text": {"0": "a; b", "1": "c"}, "label": {"0": "x", "1": "y"}})),
        ("a.csv", "text,label\na; b,x\nc,y\n"),
        ("a.tsv", "text\tlabel\na; b\tx\nc\ty\n"),
    ],
)
def test_forms_give_the_same_rows(tmp_path: Path, name: str, content: str, compression: str) -> None:
    assert list(read_rows(write(tmp_path / f"{name}{compression}", content)).rows) == ROWS


def test_articles_of_squad_become_questions(tmp_path: Path) -> None:
    answers = [{"text": "in May", "answer_start": 10}, {"text": "May", "answer_start": 13}]
    question = {"id": "q1", "question": "When?", "is_impossible": False, "answers": answers}
    paragraph = {"context": "It opened in May.", "qas": [question, {**question, "id": "q2"}]}
    content = json.dumps({"version": "2.0", "data": [{"title": "Bridge", "paragraphs": [paragraph, paragraph]}]})
    rows = list(read_rows(write(tmp_path / "train.json", content)).rows)
    assert len(rows) == 4
    assert rows[0] == {
        "title": "Bridge",
        "context": "It opened in May.",
        "id": "q1",
        "question": "When?",
        "is_impossible": False,
        "answers": {"text": ["in May", "May"], "answer_start": [10, 13]},
    }
    file = str(tmp_path / "train.json")
    task = Task(
        name="bridges",
        kind="generation",
        prompt="{context}\n{question}\n",
        columns={"target": "answers.text"},
        metric="f1",
        data=Files(train=file, validation=file, test=file),
    )
    example = load_data(task, KINDS["generation"], {}).splits["train"][0]
    assert example == {"context": "It opened in May.", "question": "When?", "target": ["in May", "May"]}


def test_a_question_of_squad_without_an_answer_has_an_empty_target(tmp_path: Path) -> None:
    question = {"id": "q1", "question": "When?", "is_impossible": True, "answers": [], "plausible_answers": [{}]}
    paragraph = {"context": "It opened in May.", "qas": [question]}
    (row,) = read_rows(write(tmp_path / "a.json", json.dumps({"data": [{"paragraphs": [paragraph]}]}))).rows
    assert row["answers"]["text"] == []
    example = KINDS["generation"].example({"question": row["question"], "target": row["answers"]["text"]})
    assert example == {"question": "When?", "target": ""}
    assert KINDS["generation"].references([example]) == [""]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"data": [{"paragraphs": [{"qas": []}, {"qas": [{"question": "?"}]}]}]}, "no 'context'"),
        ({"data": [{"paragraphs": [{"context": "a", "qas": [{"answers": [{"text": "a"}]}]}]}]}, "no 'answer_start'"),
        ({"data": [{"paragraphs": 3}]}, "'int' object is not iterable"),
        ({"P1": [{"tokens": ["a"], "h": ["a", "Q1", []], "t": ["a", "Q1", [[0]]]}]}, "'h' must hold"),
    ],
)
def test_a_nested_document_with_a_hole_is_named(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(UserError, match="SQuAD's or FewRel's form, but an example cannot be read") as error:
        read_rows(write(tmp_path / "a.json", json.dumps(content)))
    assert message in error.value.messages[0]


@pytest.mark.parametrize(
    ("content", "form"),
    [
        ("text|label\n'a; b'|x\nc|y\n", Format(delimiter="|", quote="'")),
        ("a; b,x\nc,y\n", Format(header=("text", "label"))),
        ('"a; b";x\nc;y\n', Format(delimiter=";", header=("text", "label"))),
    ],
)
def test_separated_values_are_read_as_the_task_says(tmp_path: Path, content: str, form: Format) -> None:
    assert list(read_rows(write(tmp_path / "a.csv", content), form).rows) == ROWS


def test_columns_of_a_file_without_header_have_numbers(tmp_path: Path) -> None:
    file = str(write(tmp_path / "a.csv", "x,good film\ny,bad film\n"))
    data = load(train=file, validation=file, test=file, header=False, columns={"text": 1, "label": 0})
    assert data.splits["train"][0] == {"text": "good film", "label": "x"}


@pytest.mark.parametrize(
    ("name", "content", "form", "message"),
    [
        (
            "a.csv",
            "text;label\na;x\n",
            Format(),
            "line 1: one column, 'text;label': if ';' separates columns, write",
        ),
        (
            "a.csv",
            "text\tlabel\na\tx\n",
            Format(),
            """if '\\t' separates columns, write `delimiter: "\\t"` inside `data`""",
        ),
        ("a.csv", "text;label\na;x\n", Format(delimiter=";", quote=";"), "`delimiter` and `quote` are both ';'"),
        ("a.csv", "text,label\na,x\n", Format(delimiter='"'), "`delimiter` and `quote` are both '\"'"),
        ("a.csv", "text,label,text\na,x,b\n", Format(), "line 1: the header has 'text' 2 times"),
        ("a.csv", 'text,label\na,x\n"b,y\nc,z\n', Format(), "line 3: a quotation mark opens here and none closes"),
        (
            "a.csv",
            'text,label\na,x\n"b,y\n"c,z\n',
            Format(),
            "line 4: ',' expected after '\"' (the record starts on line 3)",
        ),
        ("a.jsonl", '{"text": "a", "text": "b"}\n', Format(), "line 1: an object has 'text' twice"),
        ("a.jsonl", '{"text": ' + "[" * 100_000 + "\n", Format(), "JSON that nests too deeply"),
        ("a.jsonl", '{"text": ' + "9" * 5000 + "}\n", Format(), "line 1: Exceeds the limit"),
        ("a.jsonl", LINES, Format(delimiter=";"), "`delimiter` has no effect on .jsonl files"),
        ("a.conll", "a O\n", Format(quote="'"), "`quote` has no effect on .conll files"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, name: str, content: str, form: Format, message: str) -> None:
    with pytest.raises(UserError) as error:
        read_rows(write(tmp_path / name, content), form)
    (found,) = error.value.messages
    assert message in found


def test_a_field_may_be_long(tmp_path: Path) -> None:
    long = "word " * 60_000
    assert read_rows(write(tmp_path / "a.csv", f"text,label\n{long},x\n"))[0]["text"] == long


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(tmp_path: Path, suffix: str) -> None:
    file = write(tmp_path / f"a.jsonl{suffix}", " " * (FREE_BYTES + 1))
    with pytest.raises(UserError, match="more than 67,108,864 bytes, unpacked from .*: too large for a data file"):
        read_rows(file)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_damaged_file_is_named(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a.jsonl{suffix}").write_bytes(b"no archive at all")
    with pytest.raises(UserError, match=f"a.jsonl{suffix}: damaged, or not compressed as its suffix says"):
        read_rows(tmp_path / f"a.jsonl{suffix}")


@pytest.fixture
def shards(tmp_path: Path) -> list[str]:
    return [str(write_rows(tmp_path / f"part-{n}.jsonl", sentences(4, start=4 * n))) for n in range(3)]


def test_files_of_one_format_are_joined(tmp_path: Path, shards: list[str]) -> None:
    data = load(train=(shards[0], shards[1]), validation=shards[2], test=str(tmp_path / "part-*.jsonl"))
    assert data.counts == {"train": 8, "validation": 4, "test": 12}
    assert list(data.splits["test"]) == sentences(12)
    assert data.identity["train"]["file"] == "part-0.jsonl and part-1.jsonl"


def test_a_row_of_a_shard_is_named_by_its_own_file(tmp_path: Path, shards: list[str]) -> None:
    bad = str(write_rows(tmp_path / "bad.jsonl", [*sentences(1), {"text": 1, "label": "negative"}]))
    with pytest.raises(UserError, match=r"bad.jsonl, line 2: 'text' must be text"):
        load(train=(shards[0], bad), validation=shards[2], test=shards[2])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("part-0.jsonl", "a.csv"), "several files of one split have one format, found"),
        (("nothing-*.jsonl",), "no file fits this pattern"),
        (("a.txt", "b.txt", "c.txt"), "expected two line-aligned files, as in"),
    ],
)
def test_files_that_do_not_fit_together_are_named(
    tmp_path: Path, shards: list[str], names: tuple[str, ...], message: str
) -> None:
    for name in ("a.csv", "a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text("text,label\na,b\n")
    with pytest.raises(UserError, match=message):
        load(train=tuple(str(tmp_path / name) for name in names), validation=shards[0], test=shards[0])


def test_line_aligned_files_may_have_a_format_by_name(tmp_path: Path) -> None:
    pair = (str(write(tmp_path / "a.csv", "One.\nTwo.\n")), str(write(tmp_path / "b.csv", "Eins.\nZwei.\n")))
    data = load("translation", train=pair, validation=pair, test=pair, format="lines")
    assert data.splits["test"][1] == {"source": "Two.", "target": "Zwei."}


def test_plain_files_of_a_named_format_are_joined(tmp_path: Path) -> None:
    files = tuple(str(write(tmp_path / name, f"{name} B-X\nb O\n")) for name in ("a.txt", "b.txt"))
    data = load("ner", train=files, validation=files[0], test=files[0], format="conll")
    assert [row["tokens"] for row in data.splits["train"]] == [["a.txt", "b"], ["b.txt", "b"]]


def test_a_share_of_train_is_held_out(tmp_path: Path, shards: list[str]) -> None:
    data = load(train=str(tmp_path / "part-*.jsonl"), validation=0.25, test=shards[0])
    assert data.counts == {"train": 9, "validation": 3, "test": 4}


LABELLED = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})


def test_label_names_of_parquet_and_saved_data_sets_are_kept(tmp_path: Path) -> None:
    rows = Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 1, 0]}, features=LABELLED)
    rows.to_parquet(tmp_path / "rows.parquet")
    rows.save_to_disk(tmp_path / "one")
    DatasetDict(dict.fromkeys(("train", "validation", "test"), rows)).save_to_disk(tmp_path / "all")
    for name in ("rows.parquet", "one", "all"):
        place = str(tmp_path / name)
        data = load(train=place, validation=place, test=place)
        assert data.labels == ("neg", "pos")
        assert data.splits["train"][0] == {"text": "a", "label": "pos"}
        assert len(data.identity["train"]["sha256"]) == 64
