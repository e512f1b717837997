"""Claims on runs: several processes, on one machine or many, can work on the same results, and none does a run twice.

Beside the record `NAME.json` of a run, its claim is the file `NAME.0.claim`, which only one process can create; it
says who did. While the run lasts, its time is set anew every `HEARTBEAT_SECONDS`. A claim is dead when its process is
(seen at once on the same machine) or when its time has stood still for `STALE_SECONDS` (as seen from others). A dead
claim is not removed but outbid: by `NAME.1.claim`, which again only one process can create. Were it removed, two
processes could find it dead, and the slower one remove the claim that the quicker one had put in its place.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from glob import escape
from pathlib import Path
from tempfile import NamedTemporaryFile

import psutil

HEARTBEAT_SECONDS = 20.0
STALE_SECONDS = 120.0


@dataclass(frozen=True)
class Holder:
    """A process that has claimed a run.

    Args:
        machine: tells the machine, and the container, in which `process` is a number.
        born: when the process began, in seconds: another process may get its number later.
        since: when it claimed the run, in UTC.
    """

    host: str
    machine: str
    process: int
    born: float
    since: str

    @classmethod
    def this_process(cls) -> Holder:
        process = psutil.Process()
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return cls(socket.gethostname(), _machine(), process.pid, process.create_time(), now)

    @property
    def alive(self) -> bool | None:
        """Whether the process lives; None if it is on another machine."""
        if self.machine != _machine():
            return None
        try:
            process = psutil.Process(self.process)
            # Reckoned from the time of the boot, which the system corrects now and then.
            return abs(process.create_time() - self.born) < 2 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}, since {self.since}"


@contextmanager
def claim(record: Path) -> Iterator[Holder | None]:
    """Claims the run whose record is to stand at `record`, for the length of the block.

    Yields:
        None if the run is this process's own now, else who has it.
    """
    taken = _take(record)
    if isinstance(taken, Holder):
        yield taken
        return
    ended = threading.Event()
    heart = threading.Thread(target=_beat, args=(taken, ended), daemon=True)
    heart.start()
    try:
        yield None
    finally:
        ended.set()
        heart.join()
        for number, path in _claims(record):
            if number <= _number(taken):
                path.unlink(missing_ok=True)


def _take(record: Path) -> Path | Holder:
    """The claim that this process now has, or the living one of another."""
    record.parent.mkdir(parents=True, exist_ok=True)
    while True:
        number = 0
        if claims := _claims(record):
            number, latest = claims[-1]
            try:
                if (holder := _living(latest)) is not None:
                    return holder
            except FileNotFoundError:
                continue  # given back between two looks
            number += 1
        path = record.with_name(f"{record.stem}.{number}.claim")
        try:
            with path.open("x", encoding="utf-8") as file:
                json.dump(asdict(Holder.this_process()), file)
        except FileExistsError:
            continue  # another process was quicker
        return path


def _claims(record: Path) -> list[tuple[int, Path]]:
    """The claims on the run, by number; the last one counts."""
    found = record.parent.glob(f"{escape(record.stem)}.*.claim")
    return sorted((_number(path), path) for path in found)


def _number(claim: Path) -> int:
    return int(claim.suffixes[-2].removeprefix("."))


def _living(claim: Path) -> Holder | None:
    """Who holds `claim`; None if it is dead."""
    try:
        holder = Holder(**json.loads(claim.read_text(encoding="utf-8")))
    except ValueError:  # created, and not yet written
        holder = Holder("an unknown host", "", 0, 0.0, "now")
    alive = holder.alive
    if alive is None:
        alive = _age(claim) < STALE_SECONDS
    return holder if alive else None


def _age(claim: Path) -> float:
    """Seconds since the last heartbeat, by the clock of the file system: those of two machines may differ."""
    with NamedTemporaryFile(dir=claim.parent, prefix=".clock-") as now:
        return os.stat(now.name).st_mtime - claim.stat().st_mtime


def _beat(claim: Path, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        with suppress(OSError):  # a file system may be away for a moment; if it stays away, the claim goes stale
            os.utime(claim)


def _machine() -> str:
    """The same for all processes that see each other's numbers: on Linux one boot and one process namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()
