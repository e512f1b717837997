"""`peft-bottleneck exec`: programs that know nothing of this package load its adapters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from peft_bottleneck import HoulsbyConfig

COMMAND = [sys.executable, "-m", "peft_bottleneck_bench.cli", "exec"]
# Prints its arguments, what it takes an adapter for, and what a Python process that it starts does.
PROGRAM = f"""#!{sys.executable}
import subprocess, sys
print(sys.argv[1:])
light = "peft" not in sys.modules and "torch" not in sys.modules
code = "import sys; from peft import PeftConfig; print(type(PeftConfig.from_pretrained(sys.argv[1])).__name__)"
if "--load" in sys.argv:
    sys.argv[1:] = [sys.argv[-1]]
    exec(code)
    sys.stdout.flush()
    subprocess.run([sys.executable, "-c", code, sys.argv[-1]], check=True)
print("light" if light else "heavy")
sys.exit(7)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("program.py", "a_module.py", "script"):
        (tmp_path / name).write_text(PROGRAM)
    (tmp_path / "script").chmod(0o755)
    return tmp_path


def run(folder: Path, *words: str, code: int = 7) -> list[str]:
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    done = subprocess.run(
        [*COMMAND, *words], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == code, done.stdout + done.stderr
    return (done.stderr if code == 2 else done.stdout).splitlines()


def test_a_program_and_its_processes_load_an_adapter(folder: Path) -> None:
    HoulsbyConfig().save_pretrained(str(folder / "adapter"))
    lines = run(folder, "program.py", "--load", "adapter")
    assert lines == ["['--load', 'adapter']", "HoulsbyConfig", "HoulsbyConfig", "light"]


@pytest.mark.parametrize("words", [["script"], ["-m", "a_module"], ["program.py"], ["./script"]])
def test_arguments_go_to_the_program(words: list[str], folder: Path) -> None:
    assert run(folder, *words, "-x", "--model", "hf", "--", "--help", "a b") == [
        "['-x', '--model', 'hf', '--', '--help', 'a b']",
        "light",
    ]


def test_a_sitecustomize_of_the_users_own_runs_too(folder: Path) -> None:
    (folder / "own").mkdir()
    (folder / "own" / "sitecustomize.py").write_text("print('own')\n")
    code = "import sys; print(any(type(f).__name__ == 'RegisteringFinder' for f in sys.meta_path))"
    (folder / "program.py").write_text(code)
    done = subprocess.run(
        [*COMMAND, "program.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "own")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["own", "own", "True"]  # the command's own start is the first


def test_what_cannot_be_run(folder: Path) -> None:
    (line,) = run(folder, "no_such_program", "--load", code=2)
    assert line == (
        "error: exec: no program 'no_such_program' on the PATH, and no such file; -m runs a module by its name"
    )
    (line,) = run(folder, code=2)
    assert line.startswith("error: exec: which program?")


def test_it_needs_nothing_of_the_benchmark(folder: Path) -> None:
    """As in an environment that has the plugin's requirements alone."""
    blocked = ("accelerate", "datasets", "evaluate", "matplotlib", "pandas", "pydantic", "rich", "sklearn", "yaml")
    code = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
from peft_bottleneck_bench.cli import main
sys.exit(main(["exec", "program.py"]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()) == (7, ["[]", "light"]), done.stderr
