"""What a run costs: time, peak memory, file size, and the machine that it ran on."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch

CLEAR_REFS = Path("/proc/self/clear_refs")
SAMPLING_SECONDS = 0.01


class Stopwatch:
    """Adds up the `seconds` inside `with` blocks, but for pauses."""

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
        """Stops it, if it is running, for the length of the block."""
        if self.began is None:
            yield
            return
        self.__exit__()
        yield
        self.__enter__()


class PeakMemory:
    """The most memory in use at any moment inside the `with` block, in `bytes` when it ends.

    On an accelerator, what PyTorch's allocator had handed out. On a CPU, the resident memory of the process, which
    includes the interpreter and the libraries: read exactly from Linux's own high-water mark, elsewhere sampled every
    10 ms. Memory freed by earlier runs is given back to the system first, so that runs do not see each other.
    """

    bytes: int

    def __enter__(self) -> PeakMemory:
        gc.collect()
        self.allocator = _device_allocator()
        self.sampler: _Sampler | None = None
        if self.allocator is not None:
            self.allocator.empty_cache()
            self.allocator.reset_peak_memory_stats()
        elif CLEAR_REFS.exists() and os.access(CLEAR_REFS, os.W_OK):
            _return_free_memory()
            CLEAR_REFS.write_text("5")  # man 5 proc: resets the high-water mark to what is resident now
        else:
            self.sampler = _Sampler()
            self.sampler.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bytes = self.so_far()
        if self.sampler is not None:
            self.sampler.stop()

    def so_far(self) -> int:
        """The most memory in use since the block began, in bytes."""
        if self.allocator is not None:
            return int(self.allocator.max_memory_allocated())
        return _high_water_mark() if self.sampler is None else self.sampler.sample()


def _device_allocator() -> Any:
    """The module of the current accelerator (`torch.cuda`, `torch.xpu`) if its allocator keeps a peak, else None."""
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    module = getattr(torch, device.type, None) if device is not None else None
    return module if hasattr(module, "reset_peak_memory_stats") else None


class _Sampler(threading.Thread):
    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.process = psutil.Process()
        self.ended = threading.Event()
        self.peak = self.process.memory_info().rss

    def run(self) -> None:
        while not self.ended.wait(SAMPLING_SECONDS):
            self.sample()

    def sample(self) -> int:
        self.peak = max(self.peak, int(self.process.memory_info().rss))
        return self.peak

    def stop(self) -> None:
        self.ended.set()
        self.join()


def _high_water_mark() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("Linux lists VmHWM for every process")


def _return_free_memory() -> None:
    """glibc keeps freed blocks for later; other C libraries have no such call and need none."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def file_bytes(folder: Path, suffixes: tuple[str, ...]) -> int:
    """The size of all files in `folder` with one of these suffixes."""
    return sum(file.stat().st_size for file in folder.iterdir() if file.suffix in suffixes)


def hardware() -> dict[str, Any]:
    """The machine, as far as it bears on time and memory."""
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    name = torch.cuda.get_device_name() if device is not None and device.type == "cuda" else str(device)
    return {
        "device": name,
        "processor": _processor(),
        "cores": torch.get_num_threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "platform": platform.platform(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
