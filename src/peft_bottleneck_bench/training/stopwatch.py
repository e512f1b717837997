"""The seconds of a training, and the use of the machine by other processes meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil


class Stopwatch:
    """Adds up the `seconds` inside `with` blocks, without the pauses, and what other processes use meanwhile."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.began: float | None = None
        self.others = 0.0  # seconds of processor time
        self.watched = 0.0  # seconds of all processors together
        self.used_before = (0.0, 0.0, 0.0)

    def __enter__(self) -> None:
        self.began = time.perf_counter()
        self.used_before = _used()

    def __exit__(self, *error: object) -> None:
        self.passed, self.began = self.seconds, None
        busy, idle, own = (now - before for now, before in zip(_used(), self.used_before, strict=True))
        self.others += max(busy - own, 0.0)
        self.watched += busy + idle

    @property
    def seconds(self) -> float:
        return self.passed if self.began is None else self.passed + time.perf_counter() - self.began

    @property
    def others_share(self) -> float:
        """The share of all processors' time in finished blocks that other processes used, from 0 to 1."""
        return self.others / self.watched if self.watched else 0.0

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Stops a running watch for the length of the block."""
        if self.began is None:
            yield
            return
        self.__exit__()
        yield
        self.__enter__()


def _used() -> tuple[float, float, float]:
    """Seconds of processor time since the start: of all processes, of none, and of this process."""
    times = psutil.cpu_times()._asdict()
    idle = times["idle"] + times.get("iowait", 0.0)
    busy = sum(times.values()) - idle - times.get("guest", 0.0) - times.get("guest_nice", 0.0)  # guests are in user
    return busy, idle, time.process_time()
