"""Several runs at once on one machine: each worker process has its share of the threads and of the accelerators.

A worker gets the next run through its pipe, and answers with steps, lines and the result. A worker that dies loses
only its own run, and another one replaces it. Nothing heavy is imported before a worker knows its device.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..run import Run
    from .attempt import Result
    from .progress import SilentProgress

WAITING_SECONDS = 0.5
ENDING_SECONDS = 10.0  # for a worker to end after the request


class Jobs:
    """`number` worker processes.

    Args:
        number: of runs at once.
    """

    launches = False

    def __init__(self, number: int) -> None:
        self.number = number
        self.workers: list[_Worker] = []

    def open(self, progress: SilentProgress) -> None:
        self.progress = progress
        self.workers = [_Worker(place, self.number) for place in range(self.number)]

    @property
    def free(self) -> bool:
        return any(worker.run is None for worker in self.workers)

    def start(self, run: Run) -> None:
        worker = next(worker for worker in self.workers if worker.run is None)
        worker.run = run
        with suppress(OSError):  # a worker that has ended: `wait` reports it
            # The functions of a task file are no longer needed: the data are read.
            worker.pipe.send(replace(run, task=replace(run.task, convert=None)))

    def wait(self) -> Iterable[tuple[Run, Result]]:
        from .attempt import record_failure

        ended: list[tuple[Run, Result]] = []
        ready = wait([worker.pipe for worker in self.workers], WAITING_SECONDS)
        for place, worker in enumerate(self.workers):
            if worker.pipe not in ready:
                continue
            run = worker.run
            try:
                said, content = worker.pipe.recv()
            except (EOFError, OSError):
                self.workers[place] = _Worker(place, self.number)
                if run is not None:
                    ended.append((run, record_failure(run, worker.last_words())))
                continue
            if said == "line":
                self.progress.say(content)
            elif run is not None and said == "step":
                self.progress.step(run, *content)
            elif run is not None:
                ended.append((run, content))
                worker.run = None
        return ended

    def close(self) -> None:
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.process.join(ENDING_SECONDS)
            worker.process.kill()


class _Worker:
    """A process and its present run."""

    def __init__(self, place: int, number: int) -> None:
        context = get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process: BaseProcess = context.Process(target=_work, args=(other, place, number), daemon=True)
        self.process.start()
        other.close()  # so that the end of the process is the end of the pipe
        self.run: Run | None = None

    def last_words(self) -> str:
        self.process.join(ENDING_SECONDS)
        code = self.process.exitcode or 0
        end = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        hint = ": the system may have run out of memory" if code == -signal.SIGKILL else ""
        return f"the worker process ended with {end}{hint}"


def _work(pipe: Connection, place: int, number: int) -> None:
    """The life of a worker: ends with its pipe, or when it is terminated."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes; the first one ends the others
    devices = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    threads = max(1, (os.cpu_count() or 1) // number)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if len(devices) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[place % len(devices)]
    from ..quiet import quiet, quiet_bars

    quiet()
    import torch

    from .attempt import Attempt

    quiet_bars()
    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        visible = torch.cuda.device_count()
        torch.cuda.set_device(place % visible)
        torch.cuda.set_per_process_memory_fraction(1 / -(-number // max(visible, len(devices))))
    attempt = Attempt(lambda line: pipe.send(("line", line)))
    while True:
        try:
            run = pipe.recv()
        except EOFError:
            return
        pipe.send(("result", attempt(run, lambda step, steps: pipe.send(("step", (step, steps))))))
