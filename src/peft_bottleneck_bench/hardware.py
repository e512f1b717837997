"""The machine, as far as it bears on time and memory."""

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


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
