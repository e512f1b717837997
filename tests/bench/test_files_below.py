"""What is below a folder is looked through within a bound: `/` is no folder of records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from peft_bottleneck_bench import UserError, files, read_records
from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.files import files_below
from peft_bottleneck_bench.records import stores
from peft_bottleneck_bench.saved.saved import Saved


def test_files_are_sorted_and_links_are_not_followed(tmp_path: Path) -> None:
    for name in ("b/two.json", "b.json", "b/.hidden.json", "a/other.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "above").symlink_to(tmp_path)
    assert files_below(tmp_path, ".json") == sorted(tmp_path.rglob("*.json"))
    assert files_below(tmp_path / "none", ".json") == []


@pytest.fixture
def crowded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one more entry than are looked through."""
    monkeypatch.setattr(files, "MOST_ENTRIES", 5)
    (tmp_path / "crowd" / "inner").mkdir(parents=True)
    for index in range(5):
        (tmp_path / "crowd" / "inner" / f"{index}.json").touch()
    return tmp_path / "crowd"


@pytest.mark.parametrize("read", [read_records, Saved.read])
def test_a_crowded_folder_is_refused(crowded: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises(
        UserError, match=rf"^{crowded}: more than 5 files and folders below it: give the folder itself"
    ):
        read(crowded)
    (crowded / "inner" / "0.json").unlink()
    files_below(crowded, ".json")


@pytest.mark.parametrize(
    "arguments", [["leaderboard", "{}"], ["compare", "{}", "{}/inner"], ["predict", "{}", "text"]]
)
def test_commands_say_so_in_one_line(crowded: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([argument.format(crowded) for argument in arguments]) == 2
    assert f"error: {crowded}: more than 5 files and folders below it" in capsys.readouterr().err


def test_a_crowded_address_is_refused(
    store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stores, "MOST_ENTRIES", 5)
    for index in range(6):
        store.pipe(f"/crowd/{index}.json", b"{}")
    assert main(["leaderboard", "memory://crowd"]) == 2
    assert "error: memory://crowd: more than" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["leaderboard", ""], ["compare", "a", "b", "--results", " "], ["predict", "", "text"]]
)
def test_nothing_is_no_place(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("error: expected a path or an address, found '")
