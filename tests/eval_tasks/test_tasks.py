"""The registry: tasks are found by their file, and listing them is cheap."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.tasks import KINDS, SHIPPED, Hub, load_task, task_names

NAMES = task_names()


def test_every_file_is_a_task() -> None:
    assert sorted(file.stem for file in SHIPPED.glob("*.py")) == NAMES
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


OWN = """
from peft_bottleneck_bench.tasks import Files, Task
from ._shared import LABELS

DATA = Files(train="a.csv", validation="b.csv", test="c.csv")
TASK = Task(name="mine", kind="classification", data=DATA, labels=LABELS)
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with one task file and what it shares with others."""
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "_shared.py").write_text("LABELS = ('bad', 'good')\n")
    return tmp_path


def test_users_keep_tasks_in_folders_of_their_own(own: Path) -> None:
    assert task_names([own]) == sorted([*NAMES, "mine"])
    assert load_task("mine", [own]).labels == ("bad", "good")
    assert load_task("sst2", [own]) == load_task("sst2")
    assert "mine" not in task_names()


def test_two_folders_may_have_files_of_one_name_that_no_configuration_uses_together(own: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.py").write_text(OWN.replace("LABELS", "NO").replace("labels=NO", "labels=('no', 'yes')"))
    (other / "_shared.py").write_text("NO = ()\n")
    assert load_task("mine", [own]).labels == ("bad", "good")
    assert load_task("mine", [other]).labels == ("no", "yes")
    with pytest.raises(UserError, match=r"task 'mine' has two files, .*mine\.py and .*other/mine\.py: rename one"):
        task_names([own, other])


def test_a_task_of_the_project_is_not_replaced_in_silence(own: Path) -> None:
    (own / "sst2.py").write_text(OWN)
    with pytest.raises(UserError, match="task 'sst2' has two files"):
        load_task("sst2", [own])


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tasks_from: .*/nowhere: no such folder"):
        task_names([tmp_path / "nowhere"])


BROKEN = {
    "TASK = (": r"mine\.py, line 1: SyntaxError: ",
    "import nothing_of_the_kind": r"mine\.py, line 1: ModuleNotFoundError: No module named 'nothing_of_the_kind'",
    "\nTASK = 1 / 0": r"mine\.py, line 2: ZeroDivisionError: division by zero",
    "\nraise SystemExit(3)": r"mine\.py, line 2: SystemExit: 3$",
    "raise ValueError('one\\ntwo')": r"mine\.py, line 1: ValueError: one$",
    "\0": r"mine\.py: SyntaxError: source code string cannot contain null bytes$",
    "TASK = Task(": r"mine\.py, line 1: SyntaxError: ",
    "from peft_bottleneck_bench.tasks import Task\nTASK = Task(nam='x')": r"mine\.py, line 2: TypeError: .*'nam'",
    "": r"mine\.py: expected TASK = Task\(…\), found None",
    "TASK = {'name': 'mine'}": r"mine\.py: expected TASK = Task\(…\), found \{'name': 'mine'\}",
    OWN.replace('"mine"', '"other"'): r"mine\.py: the task's name is 'other': give it the name of its file, 'mine'",
    OWN.replace("classification", "clasification"): r"unknown kind 'clasification': did you mean 'classification'\?",
}


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_task_file_breaks_nothing_else(own: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    (own / "mine.py").write_text(content)
    with pytest.raises(UserError, match=BROKEN[content]):
        load_task("mine", [own])
    assert load_task("sst2", [own]).name == "sst2"
    assert main(["tasks", "--tasks-from", str(own)]) == 0
    out, err = capsys.readouterr()
    assert all(name in out for name in NAMES)
    (line,) = err.splitlines()
    assert re.search(rf"left out: .*{BROKEN[content]}", line)


WRONG_FIELDS = {
    "data": ("'train.csv'", r"data: expected Files\(…\) or Hub\(…\), found 'train\.csv'"),
    "columns": ("['text']", r"columns: expected a mapping of names, found \['text'\]"),
    "labels": ("'yes'", r"labels: expected a tuple of names, found 'yes'"),
    "convert": ("3", r"convert: expected a function, found 3"),
    "metric_options": ("None", r"metric_options: expected a mapping of options, found None"),
    "prompt": ("3", r"prompt: expected text, found 3"),
    "markers": ("'tpyed'", r"unknown markers 'tpyed': did you mean 'typed'\?"),
    "class_weights": ("'balance'", r"unknown class_weights 'balance': did you mean 'balanced'\?"),
    "train": ("3", r"data\.train: expected the path of a file, found 3"),
}


@pytest.mark.parametrize("field", WRONG_FIELDS)
def test_fields_of_another_type_are_named(own: Path, field: str) -> None:
    value, message = WRONG_FIELDS[field]
    given = {"data": "Files(train='a', validation='b', test='c')"}
    given |= {"data": f"Files(train={value}, validation='b', test='c')"} if field == "train" else {field: value}
    words = ", ".join(f"{name}={text}" for name, text in given.items())
    (own / "mine.py").write_text(
        "from peft_bottleneck_bench.tasks import Files, Task\n"
        f"TASK = Task(name='mine', kind='classification', {words})\n"
    )
    with pytest.raises(UserError, match=rf"mine\.py: {message}$"):
        load_task("mine", [own])


def test_importing_every_task_imports_no_framework() -> None:
    code = (
        "import sys\n"
        "from peft_bottleneck_bench.tasks import load_task, task_names\n"
        "[load_task(name) for name in task_names()]\n"
        "heavy = {'torch', 'transformers', 'datasets', 'evaluate', 'numpy', 'peft', 'peft_bottleneck'}\n"
        "assert not heavy & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
