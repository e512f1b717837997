"""One run that several processes of this machine train together, which Accelerate's launcher starts.

The parent writes the run to a file, and reads steps and lines from the output of the main process, after `MARK`.
The processes end when their standard input does: with the parent, in whatever way it ends.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from ..records import read_if_there
from ..run import Run
from ..shipped import shipped_folder
from .attempt import Result, record_failure

MARK = "\x1e"
Execute = Callable[[Run, Callable[[int, int], None], Callable[[str], object]], Result]


class Launched:
    """Executes a run by `run.processes` processes, each with a GPU of its own if there are GPUs.

    Args:
        execute: what each of them does.
        threads: of each.
        gpus: whether they use those that this process sees.
    """

    def __init__(self, execute: Execute, threads: int, *, gpus: bool) -> None:
        self.execute = execute
        self.threads = threads
        self.configuration = "several_gpus" if gpus else "two_cpu_processes"

    def __call__(self, run: Run, on_step: Callable[[int, int], None], say: Callable[[str], object]) -> Result:
        with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile("w+") as errors:
            folder = Path(name)
            (folder / "work").write_bytes(pickle.dumps((self.execute, run)))
            before = read_if_there(run.record_path)
            with subprocess.Popen(
                self.command(run.processes, folder),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": str(self.threads)},
            ) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    _, marked, content = line.partition(MARK)
                    if marked:
                        what, *values = json.loads(content)
                        on_step(*values) if what == "step" else say(*values)
            if (folder / "result").exists():
                result: Result = pickle.loads((folder / "result").read_bytes())
                return result
            after = read_if_there(run.record_path)
            if after is not None and after != before:  # of a process that failed alone, and ended the launch
                return after
            errors.seek(0)
            last = _cause(errors.read())
            reason = f"the launch of {run.processes} processes ended with exit code {process.returncode}: {last}"
            return record_failure(run, reason)

    def command(self, processes: int, folder: Path) -> list[str]:
        return [
            *(sys.executable, "-m", "accelerate.commands.launch"),
            *("--config_file", str(shipped_folder("configs") / "accelerate" / f"{self.configuration}.yaml")),
            *("--num_processes", str(processes), "--main_process_port", "0", "-m", __name__, str(folder)),
        ]


def _cause(errors: str) -> str:
    """The first error of a process; tables and tracebacks of the launcher follow it."""
    lines = [line.strip().removeprefix("[rank0]: ").removeprefix("[rank1]: ") for line in errors.splitlines()]
    said = [line for line in lines if any(letter.isalpha() for letter in line)]
    return next((line for line in said if re.match(r"[\w.]*(Error|Exception)\b", line)), (said or ["no message"])[-1])


def _end_with_parent() -> None:
    """Ends this process when the other end of its standard input is closed."""

    def wait() -> None:
        os.read(0, 1)  # not through `sys.stdin`, whose lock the interpreter needs at its end
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _tell(*content: object) -> None:
    print(MARK + json.dumps(content), flush=True)


def _work(folder: Path) -> None:
    """The life of one of the processes."""
    _end_with_parent()
    from ..processes import check_launch, is_main
    from ..quiet import quiet, quiet_bars

    quiet()
    execute, run = pickle.loads((folder / "work").read_bytes())
    quiet_bars()
    check_launch()
    main = is_main()
    result = execute(
        run,
        lambda step, steps: _tell("step", step, steps) if main else None,
        lambda line: _tell("line", line) if main else None,
    )
    if main:
        (folder / "result").write_bytes(pickle.dumps(result))


if __name__ == "__main__":
    _work(Path(sys.argv[1]))
