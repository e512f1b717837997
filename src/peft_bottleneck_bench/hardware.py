"""The machine, as far as time and memory depend on it."""

from __future__ import annotations

import platform
from pathlib import Path

import psutil
import torch

from .records import Hardware


def hardware() -> Hardware:
    """The device, the processor, its threads, the memory and the platform, as records hold them."""
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    name = torch.cuda.get_device_name() if device is not None and device.type == "cuda" else str(device)
    return Hardware(
        device=name,
        processor=_processor(),
        cores=torch.get_num_threads(),
        memory_bytes=psutil.virtual_memory().total,
        platform=platform.platform(),
    )


def memory_bytes() -> int:
    """The memory of the machine or that of its GPUs together, whichever is larger."""
    gpus = [torch.cuda.get_device_properties(number).total_memory for number in range(torch.cuda.device_count())]
    return int(max(psutil.virtual_memory().total, sum(gpus)))


def has_bf16() -> bool:
    """Whether the device multiplies in bfloat16 with instructions of its own."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    cpuinfo = Path("/proc/cpuinfo")
    words = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})  # the last as ARM has it


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
