"""Peak memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from peft_bottleneck_bench.workbench import memory

MIB = 2**20


def peak_of(mebibytes: int) -> int:
    with memory.PeakMemory() as peak:
        block = torch.ones(mebibytes * MIB // 4)
        del block
    assert peak.added == peak.bytes - peak.before
    return peak.bytes


@pytest.mark.skipif(torch.accelerator.is_available(), reason="the allocator of an accelerator is measured there")
@pytest.mark.parametrize("sampled", [False, True])
def test_memory_that_is_freed_again_counts_and_does_not_reach_the_next_run(
    sampled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sampled:
        monkeypatch.setattr(memory, "CLEAR_REFS", Path("/nowhere"))
        monkeypatch.setattr(memory, "SAMPLING_SECONDS", 0.0001)
    base = peak_of(1)
    large = peak_of(200)
    again = peak_of(1)
    assert 180 * MIB < large - base < 260 * MIB
    assert abs(again - base) < 40 * MIB
