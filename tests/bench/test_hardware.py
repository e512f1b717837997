"""The machine."""

from __future__ import annotations

from peft_bottleneck_bench.hardware import hardware


def test_the_machine_has_a_name_for_everything() -> None:
    machine = hardware()
    assert machine.cores >= 1
    assert machine.memory_bytes > 10**8
    assert all(
        isinstance(getattr(machine, name), str) and getattr(machine, name)
        for name in ("device", "processor", "platform")
    )
