"""A process that answers questions about the candidates of one library: one JSON line in, one JSON line out.

python -m workbench.worker MODULE:CLASS '{"path": …, "causal": …, "batch": …, "length": …, "threads": …}'
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import warnings
from typing import Any

QUESTIONS = ("prepare", "release", "seconds", "peak_bytes")


def main(library: str, setting: str) -> None:
    """Answers until its input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # prints of the libraries are no answers
    warnings.filterwarnings("ignore")
    from .workload import Session, Setting

    module, _, name = library.partition(":")
    try:
        session = Session(getattr(importlib.import_module(module), name)(), Setting(**json.loads(setting)))
        _answer(answers, value=versions())
    except Exception as error:
        _answer(answers, error=_one_line(error))
        return
    for line in sys.stdin:
        question, *arguments = json.loads(line)
        assert question in QUESTIONS, question
        try:
            _answer(answers, value=getattr(session, question)(*arguments))
        except Exception as error:
            _answer(answers, error=_one_line(error))


def _answer(answers: Any, **answer: object) -> None:
    answers.write(json.dumps(answer) + "\n")


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def versions() -> dict[str, str]:
    """Versions of the interpreter and of the packages that decide the speed."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": sys.version.split()[0]}
    for package in ("torch", "transformers", "adapters", "peft", "peft-bottleneck"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
