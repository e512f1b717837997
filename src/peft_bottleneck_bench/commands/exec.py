"""The command `exec`: runs any program with our methods registered, as `coverage run` runs one under measurement.

PEFT has no entry points for methods of other packages, so a program that loads our adapters must import
`peft_bottleneck`. This command adds the import to a program without it, such as lm-eval, and to the Python processes
that it starts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from ..errors import UserError

STARTUP = Path(__file__).parents[1] / "startup"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to those of a parser."""
    parser = commands.add_parser(
        "exec",
        help="run a program with the methods registered",
        usage="peft-bottleneck exec PROGRAM [ARGUMENT ...]\n       peft-bottleneck exec -m MODULE [ARGUMENT ...]",
        description="Run a console script, a Python file or a module that loads adapters by PEFT, with the methods "
        "registered, in the Python processes that it starts too.",
        epilog="example: peft-bottleneck exec lm_eval --model hf --model_args pretrained=BASE,peft=ADAPTER --tasks …",
    )
    parser.add_argument("-m", dest="module", action="store_true", help="PROGRAM is the name of a module")
    parser.add_argument("program", metavar="PROGRAM", nargs=argparse.REMAINDER, help="with its arguments")
    parser.set_defaults(command=start)


def start(arguments: argparse.Namespace) -> int:
    """Replaces this process by the program's."""
    if not arguments.program:
        raise UserError("exec: which program? For example: peft-bottleneck exec lm_eval --help")
    command = _command(arguments.program, module=arguments.module)
    paths = [str(STARTUP), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.execvpe(command[0], command, {**os.environ, "PYTHONPATH": os.pathsep.join(paths)})


def _command(program: list[str], *, module: bool) -> list[str]:
    """The command line that starts the program."""
    name, *words = program
    if module:
        return [sys.executable, "-m", name, *words]
    beside = shutil.which(name, path=str(Path(sys.executable).parent))  # an environment that is not activated
    found = shutil.which(name) or beside
    if found is not None and not name.endswith(".py"):
        return [found, *words]
    if Path(name).is_file():
        return [sys.executable, name, *words]
    raise UserError(f"exec: no program {name!r} on the PATH, and no such file; -m runs a module by its name")
