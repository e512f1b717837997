"""Rows from files, and the place of what is wrong in them."""

from __future__ import annotations

from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from peft_bottleneck_bench.data.files import read_rows
from peft_bottleneck_bench.errors import UserError

ROWS = [{"text": "a, \"b\" and 'c'", "label": "x"}, {"text": "é\u2028d", "label": "y"}]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "places"),
    [
        ("a.jsonl", '{"text": "a, \\"b\\" and \'c\'", "label": "x"}\n\n{"text": "é\u2028d", "label": "y"}', (1, 3)),
        ("a.json", '[{"text": "a, \\"b\\" and \'c\'", "label": "x"},\n {"text": "é\u2028d", "label": "y"}]', (1, 2)),
        ("b.json", '{"text": "a, \\"b\\" and \'c\'", "label": "x"}\n{"text": "é\u2028d", "label": "y"}', (1, 2)),
        ("a.csv", 'text,label\n"a, ""b"" and \'c\'",x\n\né\u2028d,y\n', (2, 4)),
        ("bom.csv", '\ufefftext,label\r\n"a, ""b"" and \'c\'",x\r\né\u2028d,y\r\n', (2, 3)),
        ("a.tsv", "text\tlabel\na, \"b\" and 'c'\tx\né\u2028d\ty\n", (2, 3)),
    ],
)
def test_text_formats_give_the_same_rows(tmp_path: Path, name: str, content: str, places: tuple[int, int]) -> None:
    source = read_rows(write(tmp_path / name, content))
    assert [source[index] for index in range(len(source))] == ROWS
    unit = "row" if name == "a.json" else "line"
    assert [source.place(index) for index in (0, 1)] == [f"{tmp_path}/{name}, {unit} {place}" for place in places]


def test_parquet_gives_the_same_rows(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    source = read_rows(tmp_path / "a.parquet")
    assert list(source.rows) == ROWS
    assert source.place(1) == f"{tmp_path}/a.parquet, row 2"


def test_a_quoted_line_break_does_not_shift_the_lines_after_it(tmp_path: Path) -> None:
    source = read_rows(write(tmp_path / "a.csv", 'text,label\n"two\nlines",x\nnext,y\n'))
    assert source.place(0).endswith("line 2")
    assert source.place(1).endswith("line 4")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "a"}\n{"text": }\n', "a.jsonl, line 2: not valid JSON: Expecting value at column 10"),
        ("a.jsonl", '{"text": "a"}\n["b"]\n', "a.jsonl, line 2: expected a JSON object, found an array"),
        ("a.jsonl", '{"text": "\\ud83d"}\n', r"a.jsonl, line 1: '\ud83d' is half of a surrogate pair, and no text"),
        ("a.jsonl", "7\n", "a.jsonl, line 1: expected a JSON object, found a number"),
        ("a.jsonl", "", "a.jsonl: the file has no rows"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n', "a.jsonl, line 2: not UTF-8 text; save it as UTF-8"),
        ("a.csv", "text,label\na,b\n".encode("utf-16"), "a.csv: UTF-16 text; save it as UTF-8"),
        ("a.csv", "text,label\ncaf\u00e9,b\n".encode("cp1252"), "a.csv, line 2: not UTF-8 text; save it as UTF-8"),
        (
            "a.csv",
            "version https://git-lfs.github.com/spec/v1\noid sha256:ab\n",
            "a.csv: a pointer of Git LFS, not the",
        ),
        ("a.json", '[{"text": "a"},\n{"text": ]', "a.json, line 2: not valid JSON: Expecting value at column 10"),
        ("a.json", '[{"text": "a"}, null]', "a.json, row 2: expected a JSON object, found null"),
        ("a.csv", "text,label\na,b\nc\n", "a.csv, line 3: 1 fields where the header has 2"),
        ("a.csv", 'text,label\na,"b\n', "a.csv, line 2: a quotation mark opens here and none closes"),
        ("a.csv", "text,label\n", "a.csv: the file has no rows"),
        ("a.parquet", "no parquet", "a.parquet: not a Parquet file: "),
        ("a.xlsx", "", "a.xlsx: unknown format '.xlsx': choose from .jsonl, .json, "),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(UserError) as error:
        read_rows(write(tmp_path / name, content))
    assert len(error.value.messages) == 1
    assert error.value.messages[0].startswith(f"{tmp_path}/{message}")
    assert "\n" not in error.value.messages[0]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_rows(tmp_path / "a.jsonl")
    assert error.value.messages == (f"{tmp_path}/a.jsonl: no such file",)


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    with pytest.raises(UserError, match=r"rows: is a folder: name the files in it, such as 'rows/\*\.jsonl'"):
        read_rows(folder)
