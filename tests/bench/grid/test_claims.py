"""Claims: one process has a run, the others see who, and what a dead process left is free."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from peft_bottleneck_bench import records
from peft_bottleneck_bench.grid import claims
from peft_bottleneck_bench.grid.claims import Holder, claim

# The module is loaded by itself: the package around it takes seconds to import.
CLAIM = f"""\
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
spec = spec_from_file_location("claims", {claims.__file__!r})
sys.modules["claims"] = claims = module_from_spec(spec)
spec.loader.exec_module(claims)
print("ready", flush=True)
sys.stdin.readline()
with claims.claim(Path(sys.argv[1])) as holder:
    print(holder is None, flush=True)
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


def claims_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.claim"))


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "task" / "seed0-abc.json"


def test_a_claim_is_held_for_the_block_and_given_back(record: Path, tmp_path: Path) -> None:
    with claim(record) as holder:
        assert holder is None
        assert claims_below(tmp_path) == ["seed0-abc.0.claim"]
        with claim(record) as other, claim(record.with_name("seed1-abc.json")) as free:
            assert (other is not None and other.process, free) == (os.getpid(), None)
        assert records.read_all(tmp_path) == ({}, [])
    assert claims_below(tmp_path) == []


def test_an_error_in_the_block_gives_the_claim_back(record: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), claim(record):
        raise KeyboardInterrupt
    assert claims_below(tmp_path) == []


def test_another_process_is_named_and_when_it_is_killed_its_claim_is_free(record: Path, tmp_path: Path) -> None:
    rival = Rival(record)
    rival.go_on()
    assert rival.read() == "True"
    with claim(record) as holder:
        assert str(holder).startswith(f"process {rival.process.pid} on ")
        assert holder is not None
    rival.process.kill()
    deadline = time.monotonic() + 30
    while holder.alive and time.monotonic() < deadline:  # not waited for by its parent: a zombie is as dead
        time.sleep(0.01)
    with claim(record) as holder:
        assert holder is None
        assert claims_below(tmp_path) == ["seed0-abc.0.claim", "seed0-abc.1.claim"]
    assert claims_below(tmp_path) == []
    rival.end()


def test_a_claim_from_another_machine_lives_as_long_as_its_heart_beats(record: Path) -> None:
    record.parent.mkdir()
    foreign = record.with_name("seed0-abc.0.claim")
    foreign.write_text(json.dumps(Holder("far", "another boot", 1, 0.0, "2026-01-31T12:00:00Z").__dict__))
    with claim(record) as holder:
        assert str(holder) == "process 1 on far, since 2026-01-31T12:00:00Z"
    long_ago = time.time() - claims.STALE_SECONDS - 1
    os.utime(foreign, (long_ago, long_ago))
    with claim(record) as holder:
        assert holder is None
    assert not list(record.parent.iterdir())


def test_a_claim_that_is_not_yet_written_counts_until_it_is_stale(record: Path) -> None:
    record.parent.mkdir()
    empty = record.with_name("seed0-abc.0.claim")
    empty.touch()
    with claim(record) as holder:
        assert holder is not None
    os.utime(empty, (0, 0))
    with claim(record) as holder:
        assert holder is None


def test_a_number_that_another_process_got_later_does_not_keep_a_claim_alive(record: Path) -> None:
    here = Holder.this_process()
    assert here.alive
    assert not Holder(here.host, here.machine, here.process, here.born - 60, here.since).alive


def test_the_heart_beats(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.01)
    with claim(record):
        file = record.with_name("seed0-abc.0.claim")
        os.utime(file, (0, 0))
        deadline = time.monotonic() + 30
        while file.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert file.stat().st_mtime > 0


@pytest.mark.parametrize("dead", [True, False])
def test_of_several_processes_one_gets_the_run(record: Path, dead: bool) -> None:
    record.parent.mkdir()
    if dead:
        left_behind = record.with_name("seed0-abc.0.claim")
        left_behind.touch()
        os.utime(left_behind, (0, 0))
    rivals = [Rival(record) for _ in range(4)]
    for rival in rivals:
        rival.go_on()
    assert sorted(rival.read() for rival in rivals) == ["False", "False", "False", "True"]
    for rival in rivals:
        rival.end()
