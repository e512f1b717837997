"""The files that `build` leaves."""

from __future__ import annotations

import base64
import errno
import hashlib
import html
import json
import os
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from synthetic import write_grid, write_hostile_run, write_run

from peft_bottleneck_bench import records
from peft_bottleneck_bench.boards import boards, build
from peft_bottleneck_bench.boards.page import Axis
from peft_bottleneck_bench.cli import main

HOSTILE = "</script><script>alert('x')</script><img src=x onerror=alert(1)> \u2028 | `code` <!--"


class Outline(HTMLParser):
    """The tags of a page, and the JSON in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.json = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][1].get("type") == "application/json":
            self.json += data


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_grid(folder, kinds=["classification", "ner"])
    build(folder)
    return folder


def test_a_licence_is_shown_where_it_is_known(tmp_path: Path) -> None:
    path = write_run(tmp_path, "houlsby", 0, 0.9)
    build(tmp_path)
    assert "<dt>licence</dt><dd>CC0-1.0</dd>" in (tmp_path / "index.html").read_text()
    assert "examples, licence: CC0-1.0." in (tmp_path / "LEADERBOARD.md").read_text()
    record = records.read(path)
    records.write(record.replace(data=record.data.model_copy(update={"licence": None})), path)
    build(tmp_path)
    assert "<dt>licence</dt>" not in (tmp_path / "index.html").read_text()
    assert "licence" not in (tmp_path / "LEADERBOARD.md").read_text()


def test_intervals_have_room_beside_a_method_that_is_far_away(tmp_path: Path) -> None:
    for name, skill in (("good", 0.9), ("fair", 0.87), ("far", 0.0)):
        for seed in range(5):
            write_run(tmp_path, name, seed, skill, examples=1000)
    (board,) = boards(records.read_all(tmp_path)[0])
    axis = Axis(board)
    marks = {row.method: axis.marks(row.standing) for row in board.rows if row.standing}
    assert [marks[name]["beyond"] for name in ("good", "fair", "far")] == ["", "", "‹"]
    assert marks["good"]["width"] > 10  # per cent of the picture
    assert marks["far"]["mean"] < 4
    build(tmp_path)
    assert '<text class="beyond"' in (tmp_path / "index.html").read_text()


def test_build_writes_a_page_a_document_and_pictures_and_reads_only_records(built: Path) -> None:
    written = [path for path in built.rglob("*") if path.suffix in (".md", ".html", ".png", ".svg")]
    assert sorted(path.name for path in written if path.parent == built) == ["LEADERBOARD.md", "index.html"]
    assert (
        len(list((built / "pictures").iterdir())) == (2 * 2 + 1) * 2
    )  # boards, their pictures, the overview; formats
    before = {path: path.read_bytes() for path in written}
    assert set(build(built)) == set(written)
    assert before == {path: path.read_bytes() for path in written}  # the same records give the same bytes


def test_the_page_needs_nothing_but_itself(built: Path) -> None:
    text = (built / "index.html").read_text()
    outline = Outline(text)
    assert not [tag for tag, attributes in outline.tags if attributes.get("src")]
    links = {a["href"] for t, a in outline.tags if a.get("href") and not str(a["href"]).startswith("#")}
    assert links == {"data:,"}
    assert "@import" not in text
    assert set(re.findall(r"https?://[^\"' )]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    content = json.loads(outline.json)
    assert (len(content["boards"]), len(content["runs"])) == (2, 6 * 3 + 6 * 3 - 1)


def test_the_document_holds_tables_remarks_and_pictures(built: Path) -> None:
    text = (built / "LEADERBOARD.md").read_text()
    assert "- lora is incomplete: seed 1 failed: the loss is NaN at step 40" in text
    assert re.search(
        r"\| 2 \| 5 \| head_only \| 0\.\d{4} ± 0\.\d{4} \| 0\.\d{4} to 0\.\d{4} \| 0, 1, 2 \| 1,538 \|", text
    )
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (built / picture).is_file()
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_script_like_text_stays_text(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path, "houlsby", seed, 0.9, predictions=[HOSTILE] * 200, commit=HOSTILE, model="m<b>")
        path = write_run(tmp_path, "lora", seed, 0.9, model="m<b>")
        records.write(records.read(path).replace(method=HOSTILE), path)
    build(tmp_path)
    page, document = (tmp_path / "index.html").read_text(), (tmp_path / "LEADERBOARD.md").read_text()
    outline = Outline(page)
    assert [tag for tag, _ in outline.tags if tag == "img"] == []
    assert [tag for tag, _ in outline.tags].count("script") == 2
    shown = {row["prediction"] for run in json.loads(outline.json)["runs"] for row in run["errors"]["rows"]}
    assert HOSTILE in shown
    assert "<script" not in document
    assert "<img" not in document
    rows = [line for line in document.splitlines() if "alert" in line and line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {12}


def test_the_policy_allows_the_page_s_own_script_and_style_alone(built: Path) -> None:
    text = (built / "index.html").read_text()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert "unsafe" not in policy
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        (block,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in html.unescape(policy)
    assert " style=" not in text
    assert not re.search(r" on[a-z]+=", text.split("<body>")[1].split('<script type="application/json"')[0])


def test_every_field_of_a_hostile_record_stays_text(tmp_path: Path) -> None:
    """All text fields at once, in the page, the document and the pictures."""
    for method in ("a", "b"):
        for seed in range(2):
            write_hostile_run(tmp_path, method, seed, HOSTILE)
    build(tmp_path)
    outline = Outline((tmp_path / "index.html").read_text())
    assert {tag for tag, _ in outline.tags} & {"img", "iframe", "object", "a", "link"} == {"a", "link"}
    assert [tag for tag, _ in outline.tags].count("script") == 2
    document = (tmp_path / "LEADERBOARD.md").read_text()
    assert "<script" not in document
    assert "<img" not in document
    for picture in (tmp_path / "pictures").glob("*.svg"):
        assert "<script" not in picture.read_text()
        ET.parse(picture)


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, "houlsby", 0, 0.9)
    (tmp_path / "pictures").write_text("in the way")
    assert main(["leaderboard", str(tmp_path)]) == 4
    assert capsys.readouterr().err == f"error: {tmp_path / 'pictures'}: cannot be written: a file has that name\n"
    (tmp_path / "pictures").unlink()

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    assert main(["leaderboard", str(tmp_path)]) == 4
    assert capsys.readouterr().err == f"error: {tmp_path}: cannot be written: the disk is full\n"


def test_pictures_of_boards_that_are_no_more_go(tmp_path: Path) -> None:
    path = write_run(tmp_path, "houlsby", 0, 0.9, task="old")
    build(tmp_path)
    (tmp_path / "pictures" / "mine.png").write_bytes(b"")
    path.unlink()
    write_run(tmp_path, "houlsby", 0, 0.9, task="new")
    build(tmp_path)
    names = {path.name.split("-")[1] for path in (tmp_path / "pictures").glob("0*")}
    assert names == {"new"}
    assert (tmp_path / "pictures" / "mine.png").exists()


def test_no_records_make_an_empty_page(tmp_path: Path) -> None:
    assert {path.name for path in build(tmp_path / "results")} == {"LEADERBOARD.md", "index.html"}
    assert "No records yet." in (tmp_path / "results" / "index.html").read_text()


@pytest.mark.slow
def test_hundreds_of_runs_make_a_page_of_some_megabytes(tmp_path: Path) -> None:
    for method in range(20):
        for seed in range(5):
            for task in range(4):
                write_run(tmp_path, f"method {method}", seed, 0.8 + method / 200, task=f"task {task}")
    build(tmp_path)
    assert (tmp_path / "index.html").stat().st_size < 8e6
