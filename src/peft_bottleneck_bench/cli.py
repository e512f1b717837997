"""The command `peft-bottleneck`: one module of `commands` per subcommand; here are arguments, errors and exit codes.

Arguments are read before anything heavy is imported.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib.metadata import version

from . import speed
from .commands import board, check, compare, convert, costs, exec, listing, predict, publish, run
from .errors import UserError, suggest
from .files import StorageError
from .interruption import interruptible
from .missing_packages import not_installed
from .processes import speaks
from .quiet import quiet
from .words import visible

EXAMPLES = """\
examples:
  peft-bottleneck run quickstart
  peft-bottleneck run quickstart training.num_train_epochs=3 'seeds=[0]' results=runs/try
  peft-bottleneck run search --dry-run
  peft-bottleneck convert adapterhub_checkpoint peft_checkpoint --model bert-base-uncased

exit code: 0 done; 1 a run failed; 2 something that you can mend; 3 a fault of this program; 4 something
could not be written (a full disk, a read-only folder); 130 ended by Ctrl-C or SIGTERM
"""
ISSUES = "https://github.com/peft-bottleneck/peft-bottleneck/issues"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code, as `EXAMPLES` explains it."""
    parsed = _parse(arguments)
    if parsed.command is not exec.start:  # whose program inherits the environment
        quiet()
    try:
        with interruptible():
            code: int = parsed.command(parsed)
            sys.stdout.flush()
    except UserError as error:
        return _say(4 if isinstance(error, StorageError) else 2, *(f"error: {message}" for message in error.messages))
    except ModuleNotFoundError as error:
        missing = not_installed(error)
        return _own_fault(error) if missing is None else _say(2, f"error: {missing}")
    except BrokenPipeError:  # the reader has closed the pipe, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _say(130, parsed.interrupted)
    except Exception as error:
        return _own_fault(error)
    return code


def _say(code: int, *lines: str) -> int:
    for line in lines if speaks() else ():
        print(visible(line), file=sys.stderr)
    return code


def _own_fault(error: Exception) -> int:
    """One line about an unexpected error, and a file with the traceback."""
    lines = "".join(traceback.format_exception(error))
    with tempfile.NamedTemporaryFile(
        "w", prefix="peft-bottleneck-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write(f"peft-bottleneck {version('peft-bottleneck')}: {' '.join(sys.argv)}\n\n{lines}")
    first = (str(error).strip().splitlines() or [""])[0]
    return _say(
        3,
        f"error: {type(error).__name__}: {first} (a fault of peft-bottleneck: please report it with the traceback in "
        f"{file.name} at {ISSUES})",
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The arguments. Words of the list that a command calls `rest` may also follow its options.

    (By itself argparse ends a list at an option.)
    """
    parser, commands = _parser()
    parsed, words = parser.parse_known_args(arguments)
    rest: str = getattr(parsed, "rest", "")
    end = words.index("--") if "--" in words else len(words)
    if unknown := [word for word in words[:end] if word.startswith("-") or not rest]:
        of_command = commands[parsed.name]
        options = re.findall(r"--[a-z-]+", of_command.format_usage())
        named = [word for word in unknown if options and word.startswith("--")]
        near = {word: suggest(word.partition("=")[0], options) for word in named}
        shown = (f"{word} ({near[word]})" if word in near else word for word in unknown)
        of_command.error(f"unrecognized arguments: {' '.join(shown)}")
    if words:
        setattr(parsed, rest, [*getattr(parsed, rest), *words[:end], *words[end + 1 :]])
    return parsed


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser, and those of the commands by their names."""
    parser = argparse.ArgumentParser(
        prog="peft-bottleneck",
        description="Train and rank bottleneck adapters and the methods they are compared with.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"peft-bottleneck {version('peft-bottleneck')}")
    parser.set_defaults(interrupted="interrupted")  # said after Ctrl-C
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", dest="name")
    for command in (run, listing, board, costs, check, compare, publish, predict, convert, exec, speed):
        command.add_to(commands)
    return parser, commands.choices


if __name__ == "__main__":
    sys.exit(main())
