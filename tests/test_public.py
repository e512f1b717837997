"""The public names, what importing costs, and what it must not load."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import peft_bottleneck

ROOT = Path(__file__).parents[1]


def test_exported_names() -> None:
    public = {
        name
        for name, value in vars(peft_bottleneck).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(peft_bottleneck.__all__)
    assert peft_bottleneck.__all__ == sorted(peft_bottleneck.__all__, key=lambda name: (name.islower(), name))


@pytest.mark.parametrize("name", peft_bottleneck.__all__)
def test_public_things_are_documented(name: str) -> None:
    assert inspect.getdoc(getattr(peft_bottleneck, name))


def test_the_version_is_written_once() -> None:
    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert declared is not None
    assert declared[1] == peft_bottleneck.__version__


def test_importing_loads_no_part_of_the_harness() -> None:
    """Nor anything that PEFT has not loaded already: the plugin needs torch, peft and transformers alone."""
    script = """
import sys, peft
before = set(sys.modules)
import peft_bottleneck
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(new - {"peft_bottleneck"}))
print(*sorted({"datasets", "evaluate", "bitsandbytes", "eval_tasks"} & set(sys.modules) - before))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
