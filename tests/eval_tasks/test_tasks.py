"""The registry: tasks are found by their file, and listing them is cheap."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import eval_tasks
from eval_tasks import KINDS, Hub, load_task, task_names

NAMES = task_names()


def test_every_file_is_a_task() -> None:
    folder = Path(eval_tasks.__file__).parent
    assert sorted(file.stem for file in folder.glob("*.py") if file.stem != "__init__") == NAMES
    assert "tiny_sentiment" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_task_says_what_it_is(name: str) -> None:
    task = load_task(name)
    assert task.name == name
    assert task.kind in KINDS
    assert task.main_metric
    assert task.licence
    assert task.source
    assert task.description.endswith(".")
    if isinstance(task.data, Hub):
        assert re.fullmatch(r"[0-9a-f]{40}|refs/convert/parquet", task.data.revision)
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", task.data.id)
    else:
        files = (task.data.train, task.data.validation, task.data.test)
        assert all(isinstance(file, str) for file in files)
        assert all(Path(str(file)).is_file() for file in files) or name == "tacred"  # only its licensees have them


def test_an_unknown_task_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="nothing"):
        load_task("nothing")


def test_importing_every_task_imports_no_framework() -> None:
    code = (
        "import sys, eval_tasks\n"
        "[eval_tasks.load_task(name) for name in eval_tasks.task_names()]\n"
        "heavy = {'torch', 'transformers', 'datasets', 'evaluate', 'numpy', 'peft', 'peft_bottleneck'}\n"
        "assert not heavy & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
