"""How much memory a stretch of work adds to what is in use when it starts."""

from __future__ import annotations

import ctypes
import gc
import resource
from pathlib import Path

import torch

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class AddedMemory:
    """The most memory in use inside the `with` block above what was in use before, in `bytes` when it ends.

    On an accelerator, as PyTorch's allocator counts. On a CPU, the resident memory of the process by Linux's own
    high-water mark; elsewhere by `getrusage`, whose mark cannot be reset, so that the process should be a fresh one.
    """

    bytes: int

    def __enter__(self) -> AddedMemory:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()
            return self
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc keeps freed blocks for later
        if trim is not None:
            trim(0)
        if CLEAR_REFS.exists():
            CLEAR_REFS.write_text("5")  # man 5 proc: resets the high-water mark to what is resident now
        self.before = _high_water_mark()
        return self

    def __exit__(self, *error: object) -> None:
        peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else _high_water_mark()
        self.bytes = peak - self.before


def _high_water_mark() -> int:
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
