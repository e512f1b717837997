"""A hundred kills at random moments: three drivers over one results folder lose no run, and do none twice."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from peft_bottleneck_bench import records
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.grid.attempt import Result
from peft_bottleneck_bench.grid.engines import Serial
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.grid.running import run_grid
from peft_bottleneck_bench.run import Run

Configure = Callable[..., Path]
KILLS, DRIVERS, RUNS = 100, 3, 400
SECONDS = 0.02  # of a run
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="drivers are forks, which know the plan already"),
]


class Short(Serial):
    """Runs of milliseconds, which write what a real run writes, in its order; each event is a line of a file."""

    def __init__(self, template: records.Record, trace: Path) -> None:
        self.template = template
        self.trace = os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def start(self, run: Run) -> None:
        self.ended.append((run, self.work(run)))

    def note(self, event: str, run: Run) -> None:
        os.write(self.trace, f"{event} {run.seed} {os.getpid()}\n".encode())

    def work(self, run: Run) -> Result:
        self.note("repeated" if run.record_path.exists() else "begin", run)
        busy = run.record_path.with_suffix(".busy")
        if busy.exists() and _lives(int(busy.read_text() or 0)):
            self.note("doubled", run)
        busy.write_text(str(os.getpid()))
        time.sleep(SECONDS)
        predictions = records.predictions_path(run.record_path)
        rows = [records.Prediction(split="test", index=0, reference=run.seed, prediction=run.seed)]
        records.write_predictions(rows, predictions)
        changes = {"run": run.hash, "seed": run.seed, "predictions": predictions.name}
        record = self.template.model_copy(update=changes)
        records.write(record, run.record_path)
        busy.unlink()
        return record


def _lives(process: int) -> bool:
    """Whether a process is there and does not merely wait for its parent to notice its end."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def _drive(runs: Sequence[Run], template: records.Record, trace: Path) -> None:
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    run_grid(runs, engine=Short(template, trace))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_hundred_kills_lose_nothing_and_double_nothing(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (first,) = plan(load_configuration(configure(methods=["head_only"])))
    template = next(iter(run_grid([first]).records.values()))
    assert template.status == "finished"
    runs = [replace(first, results=tmp_path / "many", seed=seed) for seed in range(RUNS)]
    trace, chance, context = tmp_path / "trace", random.Random(0), get_context("fork")

    def driver() -> BaseProcess:
        order = chance.sample(runs, len(runs))  # so that they meet at all times
        process = context.Process(target=_drive, args=(order, template, trace))
        process.start()
        return process

    began = time.monotonic()
    drivers = [driver() for _ in range(DRIVERS)]
    kept: dict[Path, tuple[int, int]] = {}
    kills = 0
    while kills < KILLS:
        time.sleep(chance.uniform(0.02, 0.4))
        place = chance.randrange(DRIVERS)
        process = drivers[place]
        if process.is_alive():
            os.kill(process.pid or 0, signal.SIGKILL)
            kills += 1
        process.join()
        now = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (tmp_path / "many").rglob("*.json")}
        assert kept.items() <= now.items(), "a finished record has gone, or was written again"
        kept = now
        if len(kept) == RUNS:  # all are done: begin again with a part of them
            for path in chance.sample(sorted(kept), RUNS // 2):
                path.unlink()
                records.predictions_path(path).unlink()
                del kept[path]
            trace.rename(trace.with_name(f"trace-{kills}"))
            for process in drivers:
                process.kill()
                process.join()
            drivers = [driver() for _ in range(DRIVERS)]
        else:
            drivers[place] = driver()
    for process in drivers:
        process.kill()
        process.join()
    outcome = run_grid(runs, engine=Short(template, trace))
    assert outcome.failed == 0
    found, warnings = records.read_all(tmp_path / "many")
    assert warnings == []
    assert sorted(record.seed for record in found.values()) == list(range(RUNS))
    assert all(records.read_predictions(records.predictions_path(path)) for path in found)
    events = Counter(line.split()[0] for file in tmp_path.glob("trace*") for line in file.read_text().splitlines())
    assert set(events) == {"begin"}
    with capsys.disabled():
        print(
            f"\n{kills} kills of {DRIVERS} drivers in {time.monotonic() - began:.0f} s: {RUNS} runs have one record "
            f"each, {events['begin']} were begun, none beside its record and none by two processes at once"
        )
