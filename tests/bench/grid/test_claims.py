"""Claims: one process has a run, and what a dead process had is free."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from peft_bottleneck_bench import records
from peft_bottleneck_bench.files import StorageError
from peft_bottleneck_bench.grid.claims import claim, lock_file

CLAIM = """\
import sys
from pathlib import Path
from peft_bottleneck_bench.grid.claims import claim
print("ready", flush=True)
sys.stdin.readline()
with claim(Path(sys.argv[1])) as owned:
    print(owned, flush=True)
    sys.stdin.readline()
"""


class Rival:
    """Another process, which claims `record` when told to."""

    def __init__(self, record: Path) -> None:
        command = [sys.executable, "-c", CLAIM, str(record)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.read() == "ready"

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "task" / "seed0-abc.json"


def test_a_claim_is_held_for_the_block_and_given_back(record: Path, tmp_path: Path) -> None:
    with claim(record) as owned:
        assert owned
        with claim(record) as other, claim(record.with_name("seed1-abc.json")) as free:
            assert (other, free) == (False, True)
        assert records.read_all(tmp_path) == ({}, [])
    with claim(record) as again:
        assert again


def test_an_error_in_the_block_gives_the_claim_back(record: Path) -> None:
    with pytest.raises(KeyboardInterrupt), claim(record):
        raise KeyboardInterrupt
    with claim(record) as owned:
        assert owned


def test_beside_a_record_no_claim_is_left(record: Path) -> None:
    with claim(record):
        record.write_text("{}")
    assert [path.name for path in record.parent.iterdir()] == [record.name]


@pytest.mark.parametrize("content", ["", "null", '{"host": "far", "further": 1}', "[" * 1000])
def test_what_another_version_left_there_is_no_claim(record: Path, content: str) -> None:
    record.parent.mkdir()
    lock_file(record).write_text(content)
    record.with_name("seed0-abc.0.claim").write_text(content)
    with claim(record) as owned:
        assert owned


def test_of_several_processes_one_gets_the_run_and_when_it_is_killed_the_run_is_free(record: Path) -> None:
    rivals = [Rival(record) for _ in range(3)]
    for rival in rivals:
        rival.go_on()
    answers = [rival.read() for rival in rivals]
    assert sorted(answers) == ["False", "False", "True"]
    with claim(record) as owned:
        assert not owned
    rivals[answers.index("True")].end()
    with claim(record) as owned:
        assert owned
    for rival in rivals:
        rival.end()


def test_a_lock_that_cannot_be_written_names_folder_and_cause(tmp_path: Path) -> None:
    (tmp_path / "task").write_text("a file")
    with (
        pytest.raises(StorageError, match=r"task: cannot be written: a file has that name"),
        claim(tmp_path / "task" / "seed0.json"),
    ):
        raise AssertionError
