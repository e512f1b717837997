"""The entries of `tasks` in a run configuration: a registered task, one with some fields changed, or one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..data.columns import check_columns
from ..data.files import FORMATS
from ..data.loading import SPLITS
from ..errors import UserError, suggest
from ..kinds import KINDS
from ..tasks import CLASS_WEIGHTS, MARKERS, SCHEMES, Files, Hub, Task, load_task, task_files, task_names
from .findings import Findings, as_list, found

TASK_KEYS = tuple(field.name for field in fields(Task) if field.name != "convert")
TEXT_KEYS = ("metric", "main_metric", "prompt", "source_prefix", "licence", "source", "description")
CHOICES = {"markers": MARKERS, "scheme": SCHEMES, "class_weights": CLASS_WEIGHTS}
FILE_KEYS = (*SPLITS, "format", "delimiter", "quote", "header")
NO_MARKS = ("\r", "\n", "\0")  # what cannot separate or quote the fields of a line
HUB_KEYS = ("hub", "revision", "config", "folder", *SPLITS)


def read_task(entry: object, findings: Findings, folder: Path, tasks_from: Sequence[Path] = ()) -> Task | None:
    """The task that `entry` asks for; None where it is wrong, with the reason in `findings`.

    Paths are relative to the working directory; files are also looked for in `folder`, and those of a registered task
    beside its file. `tasks_from` are the folders of the user's own task files.
    """
    if isinstance(entry, str):
        entry = {"name": entry}
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        findings.wrong(f"tasks: expected a task's name or {{name: …, kind: …, data: …}}, found {entry!r}")
        return None
    name = entry["name"]
    before = len(findings.errors)
    findings.keys(entry, TASK_KEYS, f"tasks.{name}.")
    given = {key: entry[key] for key in TASK_KEYS if key in entry and key not in ("name", "data")}
    for key in ("columns", "metric_options"):
        findings.typed(f"task '{name}': {key}", given.get(key, {}), dict, "keys and values")
    if "negative_label" in given:
        given["negative_label"] = str(given["negative_label"])
    for key in TEXT_KEYS:
        findings.typed(f"task '{name}': {key}", given.get(key, ""), str, "text")
    if wrong := [label for label in as_list(given.get("labels")) if not isinstance(label, (str, int))]:
        findings.wrong(f"task '{name}': labels: expected names, found {wrong[0]!r}")
    if "labels" in given:
        given["labels"] = tuple(str(label).strip() for label in as_list(given["labels"]))
    for key, choices in CHOICES.items():
        if key in given and given[key] not in choices:
            findings.wrong(f"task '{name}': unknown {key} '{given[key]}': {suggest(str(given[key]), choices)}")
    own = "kind" in entry or ("data" in entry and name not in task_names(tasks_from))
    if own:
        _check_own(name, entry, findings)
    if "data" in entry:
        given["data"] = _data(name, entry["data"], findings, folder)
    task = _own_task(name, given) if own else _registered(name, given, findings, tasks_from)
    if task is None or len(findings.errors) > before:
        return None
    for check in (KINDS[task.kind].check_task, lambda task: check_columns(task, KINDS[task.kind])):
        try:
            check(task)
        except UserError as error:
            for message in error.messages:
                findings.wrong(message)
    return task


def _registered(name: str, changes: Mapping[str, Any], findings: Findings, tasks_from: Sequence[Path]) -> Task | None:
    try:
        task = load_task(name, tasks_from)
        changes = {"data": _beside(task.data, task_files(tasks_from)[name].parent), **changes}
        return replace(task, **changes)
    except KeyError:
        findings.wrong(f"unknown task '{name}': {suggest(name, task_names(tasks_from))}")
    except UserError as error:
        findings.errors.append(error)
    return None


def _check_own(name: str, entry: Mapping[str, object], findings: Findings) -> None:
    findings.label(f"tasks: {name}: name", name)
    for key in ("kind", "data"):
        if key not in entry:
            findings.wrong(f"task '{name}': '{key}' is missing: a task of one's own has both `kind` and `data`")
    if "kind" in entry and (not isinstance(entry["kind"], str) or entry["kind"] not in KINDS):
        findings.wrong(f"task '{name}': unknown kind '{entry['kind']}': {suggest(str(entry['kind']), KINDS)}")


def _own_task(name: str, given: Mapping[str, Any]) -> Task | None:
    return Task(name=name, **given) if given.keys() >= {"kind", "data"} else None


def _data(name: str, content: Any, findings: Findings, folder: Path) -> Files | Hub | None:
    if not isinstance(content, dict):
        findings.wrong(f"task '{name}': data: expected {{train: …, validation: …, test: …}}, found {content!r}")
        return None
    hub = "hub" in content
    before = len(findings.errors)
    findings.keys(content, HUB_KEYS if hub else FILE_KEYS, f"tasks.{name}.data.")
    if hub:
        for key in (key for key in HUB_KEYS if key in content or key in ("hub", "revision")):
            _check_hub(f"task '{name}': data.{key}", content.get(key), findings)
    else:
        for split in SPLITS:
            _check_file(f"task '{name}': data.{split}", content.get(split), findings)
        if content.get("delimiter") == r"\t":  # as YAML reads '\t', which stands for a tab elsewhere
            content = {**content, "delimiter": "\t"}
        for key, words in (("delimiter", "one character"), ("quote", "one character, or none")):
            value = content.get(key, ",")
            wrong = not isinstance(value, str) or len(value) > 1 or value in NO_MARKS
            if wrong or (key == "delimiter" and not value):
                findings.wrong(f"task '{name}': data.{key}: expected {words}, found {value!r}")
        header = content.get("header", True)
        if not isinstance(header, bool) and (not isinstance(header, list) or len(set(map(str, header))) < len(header)):
            findings.wrong(f"task '{name}': data.header: expected false or the names of the columns, found {header!r}")
        if "format" in content and content["format"] not in FORMATS:
            findings.wrong(
                f"task '{name}': data.format: unknown format '{content['format']}': "
                f"{suggest(str(content['format']), FORMATS)}"
            )
    if len(findings.errors) > before:
        return None
    if hub:
        return Hub(id=content["hub"], **{key: value for key, value in content.items() if key != "hub"})
    files = {key: _path(value, folder) if key in SPLITS else value for key, value in content.items()}
    if isinstance(files.get("header"), list):
        files["header"] = tuple(map(str, files["header"]))
    return Files(**files)


def _check_hub(key: str, value: Any, findings: Findings) -> None:
    if not _is_count(key, value, findings):
        findings.typed(key, value, str, "text")


def _check_file(key: str, value: object, findings: Findings) -> None:
    if isinstance(value, list):
        if not value or not all(isinstance(path, str) for path in value):
            findings.wrong(f"{key}: expected files of one format, or two line-aligned ones, found {value!r}")
    elif not _is_count(key, value, findings):
        findings.typed(key, value, str, "the path of a file")


def _is_count(key: str, value: object, findings: Findings) -> bool:
    """Whether `value` says how many examples of train to take for validation: a number, or a share below 1."""
    if not key.endswith(".validation") or not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    if not value > 0:
        findings.wrong(f"{key}: {value} would leave the split empty")
    elif isinstance(value, float) and not value < 1:
        findings.wrong(f"{key}: expected a number of examples, or a share below 1, found {value}")
    return True


def _beside(data: Files | Hub, folder: Path) -> Files | Hub:
    """The data of a task's file, whose paths may start at the `folder` of that file."""
    if isinstance(data, Hub):
        return data
    return replace(data, **{split: _path(getattr(data, split), folder) for split in SPLITS})


def _path(value: object, folder: Path) -> Any:
    """Each path, as `found` finds it; numbers as they are."""
    if isinstance(value, (list, tuple)):
        return tuple(found(path, folder) for path in value)
    return found(value, folder) if isinstance(value, str) else value
