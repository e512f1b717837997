"""What the documentation shows is what the benchmark takes: every configuration, file and task in it is tried."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny_task import sentences, write_rows

from peft_bottleneck_bench import load_configuration, plan
from peft_bottleneck_bench.data.loading import SPLITS, Data, load_data
from peft_bottleneck_bench.grid.task_setup import check_references, metric_of
from peft_bottleneck_bench.kinds import KINDS
from peft_bottleneck_bench.tasks import KINDS as KIND_NAMES
from peft_bottleneck_bench.tasks import Files, Task

DOCS = Path(__file__).parents[2] / "docs" / "guides"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
FILE = re.compile(r"((?:[^\n]+\n)+)\n```(?:csv|tsv|conll|jsonl|text)\n(.*?)```", re.DOTALL)  # after its paragraph


def text_of(document: str) -> str:
    return (DOCS / document).read_text(encoding="utf-8")


def blocks(text: str, form: str) -> list[str]:
    return [content for found, content in BLOCK.findall(text) if found == form]


PARTS = re.split(r"^## (.+)\n", text_of("your-own-data.md"), flags=re.MULTILINE)
SECTIONS = dict(zip(PARTS[1::2], PARTS[2::2], strict=True))
WITH_FILES = [title for title, text in SECTIONS.items() if "train:" in text]


def write_files(text: str) -> list[str]:
    """Writes the files that a section shows, each under the last name in the paragraph before it."""
    written = []
    for paragraph, content in FILE.findall(text):
        name = re.findall(r"`(\w+\.\w+)`", paragraph)[-1]
        Path(name).write_text(content, encoding="utf-8")
        written.append(name)
    return written


def configured(snippet: str, folder: Path) -> list[Task]:
    """The tasks of a configuration, which the documentation writes out once and then shortens."""
    head = "" if "model:" in snippet else "model: m\nmethods: [head_only]\n"
    path = folder / "mine.yaml"
    path.write_text(head + snippet, encoding="utf-8")
    return list(load_configuration(path).tasks)


def complete(files: Files) -> None:
    """Makes the files of other splits that a section does not show, as copies of train's."""
    paths = [[part] if isinstance(part, str) else part for part in (getattr(files, split) for split in SPLITS)]
    for split in paths[1:]:
        for source, target in zip(paths[0], split if isinstance(split, (list, tuple)) else (), strict=False):
            if not Path(target).exists():
                shutil.copy(source, target)


def make_images(task: Task) -> None:
    """Two images of each of two labels, where a task reads folders of them."""
    for split in SPLITS if task.kind == "image_classification" else ():
        for number, label in enumerate(("cat", "dog")):
            folder = Path(getattr(task.data, split), label)
            folder.mkdir(parents=True)
            for shade in (40, 200):
                Image.new("RGB", (8, 8), (shade, 100 * number, 0)).save(folder / f"{shade}.png")


def read(task: Task) -> Data:
    data = load_data(task, KINDS[task.kind], {})
    check_references(task, data, metric_of(task))
    assert all(data.counts.values())
    return data


@pytest.mark.parametrize("title", WITH_FILES)
def test_the_files_and_configurations_of_a_section_fit(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = write_files(SECTIONS[title])
    tasks = [task for snippet in blocks(SECTIONS[title], "yaml") for task in configured(snippet, tmp_path)]
    for task in tasks:
        assert isinstance(task.data, Files)
        make_images(task)
        complete(task.data)
        read(task)
    used = str([task.data for task in tasks])
    for name in (name for name in names if name not in used):  # another form of the same
        same = replace(tasks[0], data=Files(train=name, validation=name, test=name))
        assert read(same).splits["test"][0] == read(tasks[0]).splits["train"][0]


def test_there_is_a_section_with_files_for_every_kind() -> None:
    assert all(any(f"kind: {kind}\n" in SECTIONS[title] for title in WITH_FILES) for kind in KIND_NAMES)


@pytest.mark.parametrize("snippet", blocks(text_of("your-own-data.md"), "yaml"))
def test_every_configuration_is_one(snippet: str, tmp_path: Path) -> None:
    assert configured(snippet, tmp_path)


@pytest.mark.parametrize("code", blocks(text_of("add-a-task.md"), "python"))
def test_every_task_is_one(code: str) -> None:
    names: dict[str, Any] = {}
    exec(compile(code, "eval_tasks/example.py", "exec"), names)
    task: Task = names["TASK"]
    assert task.kind in KIND_NAMES
    assert metric_of(task).main == task.main_metric
    if task.convert is not None:
        row = {"sentence": "<a>wheels</a> of a <b>car</b>", "label": "part_of"}
        (example,) = (KINDS[task.kind].example(example) for example in task.convert(row))
        assert example["relation"] in task.labels
        assert not list(task.convert({**row, "label": "unsure"}))


def test_the_task_of_a_folder_of_ones_own_is_found(tmp_path: Path) -> None:
    text = text_of("add-a-task.md")
    (tmp_path / "my_tasks").mkdir()
    (tmp_path / "my_tasks" / "emotions.py").write_text(blocks(text, "python")[0], encoding="utf-8")
    (snippet,) = blocks(text, "yaml")
    (task,) = configured(snippet, tmp_path)
    assert task.labels == ("anger", "joy", "sadness")


def test_files_of_a_task_may_be_beside_it(tmp_path: Path) -> None:
    """`Files(…)` as the page writes it, in a folder of one's own that is not the working directory."""
    text = text_of("add-a-task.md")
    (files,) = re.findall(r"`(Files\(train=[^`]+\))`", text)
    folder = tmp_path / "my_tasks"
    folder.mkdir()
    code = f'TASK = Task(name="emotions", kind="classification", data={files})\n'
    (folder / "emotions.py").write_text(f"from peft_bottleneck_bench.tasks import Files, Task\n\n{code}")
    for name in ("train", "test"):
        write_rows(folder / f"{name}.jsonl", sentences(20))
    (snippet,) = blocks(text, "yaml")
    (task,) = configured(snippet, tmp_path)
    assert read(task).counts == {"train": 18, "validation": 2, "test": 20}


@pytest.mark.parametrize("snippet", blocks(text_of("methods.md"), "yaml"))
def test_every_configuration_of_methods_is_one(snippet: str, tmp_path: Path) -> None:
    assert configured(snippet, tmp_path)


def test_the_notes_of_a_budget_are_those_of_a_plan(tmp_path: Path) -> None:
    text = text_of("methods.md")
    (snippet,) = (snippet for snippet in blocks(text, "yaml") if "budget:" in snippet)
    (notes,) = blocks(text, "text")
    (tmp_path / "mine.yaml").write_text(snippet, encoding="utf-8")
    planned = plan(load_configuration(tmp_path / "mine.yaml", [f"results={tmp_path / 'results'}"]))
    assert notes.splitlines() == [note for note in planned.notes if note.startswith("budget: ")]
