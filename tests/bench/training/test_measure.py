"""Peak memory and the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from peft_bottleneck_bench.training import measure

MIB = 2**20


def peak_of(mebibytes: int) -> int:
    with measure.PeakMemory() as peak:
        block = torch.ones(mebibytes * MIB // 4)
        del block
    return peak.bytes


@pytest.mark.skipif(torch.accelerator.is_available(), reason="the allocator of an accelerator is measured there")
@pytest.mark.parametrize("sampled", [False, True])
def test_memory_that_is_freed_again_counts_and_does_not_reach_the_next_run(
    sampled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sampled:
        monkeypatch.setattr(measure, "CLEAR_REFS", Path("/nowhere"))
        monkeypatch.setattr(measure, "SAMPLING_SECONDS", 0.0001)
    base = peak_of(1)
    large = peak_of(200)
    again = peak_of(1)
    assert 180 * MIB < large - base < 260 * MIB
    assert abs(again - base) < 40 * MIB


def test_the_size_of_files_with_a_suffix(tmp_path: Path) -> None:
    for name, size in (("a.safetensors", 10), ("b.bin", 5), ("c.json", 100)):
        (tmp_path / name).write_bytes(b"0" * size)
    assert measure.file_bytes(tmp_path, (".safetensors", ".bin")) == 15


def test_the_machine_has_a_name_for_everything() -> None:
    hardware = measure.hardware()
    assert hardware["cores"] >= 1
    assert hardware["memory_bytes"] > 10**8
    assert all(isinstance(hardware[name], str) and hardware[name] for name in ("device", "processor", "platform"))
