"""The most memory that a stretch of work uses; needs torch alone, so that a peer can measure with it."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import sys
import threading
from pathlib import Path
from types import ModuleType

import torch

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
SAMPLING_SECONDS = 0.01


class PeakMemory:
    """The most memory in use at any moment inside the `with` block.

    On an accelerator, PyTorch's allocator counts. On a CPU, it is the resident memory of the process, which includes
    the interpreter and the libraries: Linux keeps a high-water mark; elsewhere a thread samples every 10 ms. Memory
    that earlier work freed goes back to the system first, so that one measurement does not see the one before it.

    Attributes:
        before: bytes in use when the block begins.
        bytes: the most in use inside the block; known when it ends.
    """

    before: int
    bytes: int

    def __enter__(self) -> PeakMemory:
        gc.collect()
        self.allocator = _device_allocator()
        self.sampler: _Sampler | None = None
        if self.allocator is not None:
            self.allocator.empty_cache()
            self.allocator.reset_peak_memory_stats()
            self.before = int(self.allocator.memory_allocated())
            return self
        _return_free_memory()
        if CLEAR_REFS.exists() and os.access(CLEAR_REFS, os.W_OK):
            CLEAR_REFS.write_text("5")  # man 5 proc: resets the high-water mark to what is resident now
        else:
            self.sampler = _Sampler()
            self.sampler.start()
        self.before = self.so_far()
        return self

    def __exit__(self, *error: object) -> None:
        self.bytes = self.so_far()
        if self.sampler is not None:
            self.sampler.stop()

    @property
    def added(self) -> int:
        """What the block added to the memory in use before it, in bytes, at its peak."""
        return self.bytes - self.before

    def so_far(self) -> int:
        """The most memory in use since the block began, in bytes."""
        if self.allocator is not None:
            return int(self.allocator.max_memory_allocated())
        return _status("VmHWM") if self.sampler is None else self.sampler.sample()


def _device_allocator() -> ModuleType | None:
    """The module of the current accelerator (`torch.cuda`, `torch.xpu`) if its allocator keeps a peak, else None."""
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    module: ModuleType | None = getattr(torch, device.type, None) if device is not None else None
    return module if hasattr(module, "reset_peak_memory_stats") else None


class _Sampler(threading.Thread):
    """Keeps the greatest resident memory that it sees."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.peak = 0

    def run(self) -> None:
        while not self.ended.wait(SAMPLING_SECONDS):
            self.sample()

    def sample(self) -> int:
        self.peak = max(self.peak, _resident())
        return self.peak

    def stop(self) -> None:
        self.ended.set()
        self.join()


def _resident() -> int:
    """The resident memory of this process, in bytes."""
    if STATUS.exists():
        return _status("VmRSS")
    try:
        import psutil
    except ImportError:  # the peak since the process began is the best that is left
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return int(psutil.Process().memory_info().rss)


def _status(name: str) -> int:
    """An entry of Linux's status of this process, in bytes."""
    entries = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(entries[name].split()[0]) * 1024


def _return_free_memory() -> None:
    """glibc keeps freed blocks for later; other C libraries have no such call and need none."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
