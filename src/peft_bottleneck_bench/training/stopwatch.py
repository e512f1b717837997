"""The seconds that a training takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up the `seconds` inside `with` blocks, without the pauses."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.began: float | None = None

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self.passed, self.began = self.seconds, None

    @property
    def seconds(self) -> float:
        return self.passed if self.began is None else self.passed + time.perf_counter() - self.began

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Stops a running watch for the length of the block."""
        if self.began is None:
            yield
            return
        self.__exit__()
        yield
        self.__enter__()
