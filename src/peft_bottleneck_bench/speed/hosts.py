"""The hosts of candidates: this process, or a worker that waits for questions."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..workbench.workload import Session, Setting

WORKBENCH = Path(__file__).parents[1] / "workbench"
OURS = "peft_bottleneck_bench.speed.candidates:Peft"
ADAPTERHUB = "workbench.adapterhub:AdapterHub"
# Imports the package `workbench` alone: its folder's neighbours would hide modules of Python, `statistics` for one.
PEER = """\
import sys, types
sys.modules["workbench"] = package = types.ModuleType("workbench")
package.__path__ = [sys.argv.pop(1)]
from workbench.worker import main
main(*sys.argv[1:])
"""


class Hosts:
    """The hosts of several libraries, of which one computes at a time.

    The first turn after one of another process finds the caches full of the other's data. So it is taken twice, and
    counts once.
    """

    def __init__(self, hosts: Mapping[str, Session | Worker]) -> None:
        self.hosts = hosts
        self.latest: str | None = None

    def prepare(self, library: str, candidate: str) -> None:
        self.hosts[library].prepare(candidate)

    def release(self) -> None:
        for host in self.hosts.values():
            host.release()

    def seconds(self, library: str, candidate: str, quantity: str) -> float:
        host = self.hosts[library]
        if self.latest != library:
            host.seconds(candidate, quantity)
        self.latest = library
        return host.seconds(candidate, quantity)


class Worker:
    """A worker process; answers come one by one, so that no two processes compute at a time.

    Args:
        command: the interpreter with the worker's module, without arguments.
        library: `module:class` of a `Library`.
        setting: the base model and the batch.

    Raises:
        UserError: the process cannot start, or cannot import its library.
    """

    def __init__(self, command: list[str], library: str, setting: Setting) -> None:
        self.name = command[0]
        try:
            self.process = subprocess.Popen(
                [*command, library, json.dumps(vars(setting))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        except OSError as error:
            raise UserError(f"{self.name}: cannot be started: {error.strerror}") from error
        try:
            self.versions: dict[str, str] = self._answer()
        except UserError:
            self.close()
            raise

    @classmethod
    def ours(cls, setting: Setting) -> Worker:
        """A fresh process with our library."""
        return cls([sys.executable, "-m", "peft_bottleneck_bench.workbench.worker"], OURS, setting)

    @classmethod
    def peer(cls, python: Path, setting: Setting) -> Worker:
        """A fresh process of another interpreter, with AdapterHub's library."""
        return cls([str(python), "-c", PEER, str(WORKBENCH)], ADAPTERHUB, setting)

    def prepare(self, candidate: str) -> None:
        self._ask("prepare", candidate)

    def release(self) -> None:
        self._ask("release")

    def seconds(self, candidate: str, quantity: str) -> float:
        return float(self._ask("seconds", candidate, quantity))

    def peak_bytes(self, candidate: str, length: int) -> int:
        return int(self._ask("peak_bytes", candidate, length))

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def _ask(self, question: str, *arguments: str | int) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([question, *arguments]) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise UserError(f"{self.name}: the worker ended with exit code {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise UserError(f"{self.name}: {answer['error']}")
        return answer["value"]
