"""The watch sees what other processes do meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from peft_bottleneck_bench.training.stopwatch import Stopwatch


def test_seconds_add_up_without_the_pauses() -> None:
    watch = Stopwatch()
    with watch:
        time.sleep(0.05)
        with watch.pause():
            time.sleep(0.3)
        time.sleep(0.05)
    assert 0.1 <= watch.seconds < 0.3
    assert 0 <= watch.others_share <= 1


def test_other_processes_are_seen_and_this_one_is_none_of_them() -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        shared = Stopwatch()
        with shared:
            time.sleep(1.0)
    finally:
        busy.kill()
        busy.wait()
    # What runs beside the tests counts too, so there is a lower bound only: this process sleeps, the other has a core.
    assert shared.others_share > 0.5 / (os.cpu_count() or 1) / 4
    own = Stopwatch()
    with own:
        began = time.process_time()
        end = time.perf_counter() + 0.5
        while time.perf_counter() < end:
            pass
        spent = time.process_time() - began
    assert own.others <= own.watched - spent + 0.1
