"""Files in the forms of well-known data sets, through the whole way from a file to checked examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from peft_bottleneck_bench.data.loading import Data, load_data
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.kinds import KINDS
from peft_bottleneck_bench.tasks import Files, Task

CONLL = """-DOCSTART- -X- -X- O

Ann NNP B-NP B-PER
sings VBZ B-VP O

In IN B-PP O
New NNP B-NP B-LOC
York NNP I-NP I-LOC
"""
SEMEVAL = (
    '1\t"The <e1>author</e1> uses a <e2>pen</e2>."\r\nInstrument-Agency(e2,e1)\r\nComment: clear.\r\n\r\n'
    '2\t"A <e2>ridge</e2> and the <e1>surge</e1>"\r\nOther\r\n'
)


def load(kind: str, files: Files, **fields: Any) -> Data:
    return load_data(Task(name="mine", kind=kind, data=files, **fields), KINDS[kind], {})


def thrice(path: Path, content: str, format: str = "") -> Files:
    path.write_bytes(content.encode())
    return Files(train=str(path), validation=str(path), test=str(path), format=format)


def message_of(kind: str, files: Files) -> str:
    with pytest.raises(UserError) as error:
        load(kind, files)
    return error.value.messages[0]


@pytest.mark.parametrize("blank", ["", "\t", " \r"])
def test_conll_sentences_end_at_lines_of_white_space(tmp_path: Path, blank: str) -> None:
    data = load("ner", thrice(tmp_path / "a.conll", f"Ann\tB-PER\n'\tO\n{blank}\nBo Li\tB-PER"))
    assert data.splits["train"] == [
        {"tokens": ["Ann", "'"], "tags": ["B-PER", "O"]},
        {"tokens": ["Bo Li"], "tags": ["B-PER"]},
    ]
    assert data.labels == ("PER",)


def test_conll_takes_the_first_and_the_last_of_several_columns(tmp_path: Path) -> None:
    data = load("ner", thrice(tmp_path / "train.txt", CONLL, format="conll"))
    assert data.splits["test"] == [
        {"tokens": ["Ann", "sings"], "tags": ["B-PER", "O"]},
        {"tokens": ["In", "New", "York"], "tags": ["O", "B-LOC", "I-LOC"]},
    ]
    assert data.labels == ("LOC", "PER")


def test_semeval_records(tmp_path: Path) -> None:
    data = load("relation_extraction", thrice(tmp_path / "a.semeval", SEMEVAL))
    assert data.splits["train"] == [
        {
            "text": "The author uses a pen.",
            "head": {"start": 4, "end": 10},
            "tail": {"start": 18, "end": 21},
            "relation": "Instrument-Agency(e2,e1)",
        },
        {
            "text": "A ridge and the surge",
            "head": {"start": 16, "end": 21},
            "tail": {"start": 2, "end": 7},
            "relation": "Other",
        },
    ]


@pytest.mark.parametrize(
    ("kind", "columns"), [("translation", ("source", "target")), ("classification", ("text", "label"))]
)
def test_line_aligned_files_are_the_two_columns_of_the_kind(tmp_path: Path, kind: str, columns: Sequence[str]) -> None:
    (tmp_path / "a.en").write_bytes("One\u2028line.\r\nTwo.\r\n".encode())
    (tmp_path / "a.de").write_bytes(b"Eine Zeile.\nZwei.")
    pair = (str(tmp_path / "a.en"), str(tmp_path / "a.de"))
    data = load(kind, Files(train=pair, validation=pair, test=pair))
    assert data.splits["train"] == [
        dict(zip(columns, row, strict=True)) for row in (("One\u2028line.", "Eine Zeile."), ("Two.", "Zwei."))
    ]
    assert data.identity["train"]["file"] == "a.en and a.de"
    (tmp_path / "a.de").write_bytes(b"Eine Zeile.\nDrei.")
    assert load(kind, Files(train=pair, validation=pair, test=pair)).identity != data.identity


@pytest.mark.parametrize(
    ("kind", "name", "content", "message"),
    [
        ("ner", "a.conll", "Ann B-PER\nsings\n", "line 2: expected a word and its tag, found 'sings'"),
        (
            "ner",
            "a.conll",
            "Ann O\n\nBo O\nLi I-PER\n",
            "line 3: tag 1 is 'I-PER' after 'O': in IOB2 an entity starts",
        ),
        ("ner", "a.conll", "Ann O\n\nBo S-PER\n", "line 3: tag 0 is 'S-PER': expected O, B-TYPE or I-TYPE"),
        ("ner", "a.conll", "\n\n", "a.conll: the file has no rows"),
        ("relation_extraction", "a.semeval", "A <e1>b</e1>\n", 'line 1: expected a number, a tab and a "sentence", '),
        (
            "relation_extraction",
            "a.semeval",
            '1\t"<e1>a</e1> <e2>b</e2>"\n2\t"<e1>a</e1> <e2>b</e2>"\nOther\n',
            "line 1: the line after the sentence must name the relation",
        ),
        ("relation_extraction", "a.semeval", '1\t"<e1>a</e1> <e2>b"\nOther\n', "line 1: expected '</e2>' once, found"),
        ("relation_extraction", "a.txt", SEMEVAL, "a.txt: unknown format '.txt': choose from .jsonl, .json, .csv, "),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, kind: str, name: str, content: str, message: str) -> None:
    found = message_of(kind, thrice(tmp_path / name, content))
    assert str(tmp_path / name) in found
    assert message in found


def test_line_aligned_files_must_fit(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("a", "b", "c")}
    files["a"].write_text("One.\nTwo.\n")
    files["b"].write_text("Eins.\n")
    files["c"].write_text("Eins.\n\n")
    pairs = {name: (str(files["a"]), str(files[name])) for name in "bc"}
    shorter = Files(train=pairs["c"], validation=pairs["b"], test=(str(files["a"]), str(tmp_path / "d")))
    with pytest.raises(UserError) as error:
        load("translation", shorter)
    assert error.value.messages == (
        f"task 'mine': validation split: {files['a']} has 2 lines and {files['b']} has 1: "
        "line-aligned files have equally many",
        f"task 'mine': test split: {tmp_path / 'd'}: no such file",
    )
    blank = Files(train=pairs["c"], validation=pairs["c"], test=pairs["c"])
    assert (
        message_of("translation", blank) == f"{files['a']} and {files['c']}, line 2: 'target' must be text, found ''"
    )
    assert message_of("relation_extraction", blank) == (
        "task 'mine': train split: two line-aligned files have two columns, "
        "relation_extraction needs text, head, tail, relation"
    )
