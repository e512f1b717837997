"""Folders that results cannot go to are refused before anything runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.errors import UserError

Configure = Callable[..., Path]


def messages(path: Path) -> tuple[str, ...]:
    with pytest.raises(UserError) as error:
        load_configuration(path)
    return error.value.messages


def test_results_that_are_a_file_or_below_one_are_refused(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for results in ("file", "file/results"):
        path = configure(results=str(tmp_path / results), adapters=str(tmp_path / "adapters"))
        assert messages(path) == (f"{path}: results: {tmp_path}/file is no folder",)
    assert load_configuration(configure(results=str(tmp_path / "not/there/yet"))).results == tmp_path / "not/there/yet"
    assert not (tmp_path / "not").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_results_that_cannot_be_written_are_refused(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    path = configure(results=str(tmp_path / "closed" / "results"))
    assert f"{path}: results: {tmp_path}/closed cannot be written to: Permission denied" in messages(path)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a file system that refuses root too")
def test_results_that_a_file_system_refuses_are_refused(configure: Configure, tmp_path: Path) -> None:
    path = configure(results="/proc/none/results", adapters=str(tmp_path / "adapters"))
    assert messages(path) == (f"{path}: results: /proc cannot be written to: No such file or directory",)
