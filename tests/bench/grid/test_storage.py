"""What cannot be written: one line that names folder and cause, a documented exit code, and the grid goes on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from peft_bottleneck_bench import records
from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.files import StorageError, check_writable, replacing, storage_cause, writing
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.grid.running import run_grid
from peft_bottleneck_bench.training.execute import failed

Configure = Callable[..., Path]


def mounted(folder: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if not mounted(folder, "size=256k"):
        pytest.skip("mounting needs Linux and the rights of the administrator")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, left: int = 0) -> None:
    """Leaves `left` bytes free below `folder`."""
    with (folder / "filling").open("wb") as file:
        file.write(b"0" * (os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize - left))


WRITERS: dict[str, Callable[[Path], Any]] = {
    "a file": lambda path: path.write_bytes(b"0" * 100_000),
    "safetensors": lambda path: save_file({"a": torch.zeros(25_000)}, path),
    "torch.save": lambda path: torch.save({"a": torch.zeros(25_000)}, path),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_said_however_a_library_words_it(small_disk: Path, writer: str) -> None:
    fill(small_disk, left=20_000)
    with pytest.raises(StorageError) as error, writing(small_disk):
        WRITERS[writer](small_disk / "file")
    assert error.value.messages[0].startswith(f"{small_disk}: cannot be written: the disk is full")


def test_a_full_disk_takes_no_probe_and_leaves_no_half_file(small_disk: Path) -> None:
    fill(small_disk, left=20_000)
    with pytest.raises(StorageError, match="the disk is full"):
        check_writable(small_disk)
    with pytest.raises(StorageError, match="the disk is full"), replacing(small_disk / "record.json") as file:
        file.write(b"0" * 100_000)
    assert [path.name for path in small_disk.iterdir()] == ["filling"]


def test_a_read_only_file_system_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "read_only"
    folder.mkdir()
    if not mounted(folder, "size=256k,ro"):
        pytest.skip("mounting needs Linux and the rights of the administrator")
    try:
        with pytest.raises(StorageError, match="read_only: cannot be written: the file system is read-only"):
            check_writable(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (PermissionError(13, "Permission denied", "/a/b"), "permission denied"),
        (RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"), "the disk is full, or"),
        (OSError(122, "Disk quota exceeded"), "the disk quota is used up"),
        (FileNotFoundError(2, "No such file or directory", "/a/b"), None),
        (ValueError("a wrong value"), None),
    ],
)
def test_errors_about_files_are_told_from_others(error: Exception, cause: str | None) -> None:
    found = storage_cause(error)
    assert found is None if cause is None else str(found).startswith(cause)


def test_a_disk_that_is_full_fails_its_runs_and_the_others_go_on(
    configure: Configure, small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The results of one run are on another disk, which fills up while the run saves a checkpoint."""
    path = configure(methods=["houlsby", "head_only"])
    runs = plan(load_configuration(path))
    full = runs[0].adapter_path.parent
    full.mkdir(parents=True)
    full.rmdir()
    full.symlink_to(small_disk)
    fill(small_disk, left=100_000)  # takes the probe, and not the checkpoint
    outcome = run_grid(runs)
    assert [record.status for record in outcome.records.values()] == ["failed", "finished"]
    assert "cannot be written: the disk is full" in str(outcome.records[runs[0].record_path].reason)
    assert "RuntimeError" not in capsys.readouterr().out


def test_a_folder_of_records_that_cannot_be_written_leaves_its_runs_out(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = configure(methods=["houlsby", "head_only"])
    blocked = tmp_path / "results" / "words" / "tiny_bert" / "houlsby"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file in the place of a folder")
    assert main(["run", str(path)]) == 4
    out = capsys.readouterr().out
    assert f"left out: {blocked}: cannot be written: a file has that name" in out
    assert [record.method for record in records.read_all(tmp_path / "results")[0].values()] == ["head_only"]


def test_a_run_whose_record_json_cannot_hold_does_not_end_the_grid(configure: Configure, tmp_path: Path) -> None:
    from dataclasses import replace

    first, second = plan(load_configuration(configure(methods=["houlsby", "head_only"])))
    broken = replace(first, training={**first.training, "weight_decay": float("inf")})
    outcome = run_grid([broken, second])
    (reason,) = outcome.unrecorded.values()
    assert "no record: " in reason
    assert [record.method for record in outcome.records.values()] == ["head_only"]


def test_a_failed_record_that_cannot_be_written_says_so(configure: Configure, tmp_path: Path) -> None:
    (run,) = plan(load_configuration(configure(methods=["head_only"])))
    run.record_path.parent.parent.mkdir(parents=True)
    run.record_path.parent.write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        failed(run, "for a test")


def test_a_leaderboard_in_a_folder_that_cannot_be_written_ends_with_code_4(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(configure(methods=["head_only"]))]) == 0
    (tmp_path / "results" / "LEADERBOARD.md").mkdir()
    capsys.readouterr()
    assert main(["leaderboard", str(tmp_path / "results")]) == 4
    assert capsys.readouterr().err.endswith("LEADERBOARD.md: cannot be written: a folder has that name\n")
