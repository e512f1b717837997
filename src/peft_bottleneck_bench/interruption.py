"""Ctrl-C and SIGTERM: both end the command at once or at its next step, and never unnoticed.

Python raises `KeyboardInterrupt` at any place of the program. In a destructor or a callback from C the exception is
printed and ignored, and a library may turn it into another one. So the handler also sets a flag, which
`check` looks at: before every run, at every step, and when a run ends with an error.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_requested = threading.Event()


@contextmanager
def interruptible() -> Iterator[None]:
    """Handles SIGINT and SIGTERM alike inside the block; outside the main thread it changes nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        _requested.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def check() -> None:
    """Raises `KeyboardInterrupt` if a signal has asked for the end."""
    if _requested.is_set():
        raise KeyboardInterrupt


def _interrupt(number: int, frame: FrameType | None) -> None:
    _requested.set()
    raise KeyboardInterrupt
