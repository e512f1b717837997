"""The entries of `tasks` in a run configuration: a registered task, one with some fields changed, or one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..data.files import FORMATS
from ..data.loading import SPLITS
from ..errors import UserError, suggest
from ..kinds import KINDS
from ..tasks import MARKERS, Files, Hub, Task, load_task, task_names
from .findings import Findings, as_list, slug

TASK_KEYS = tuple(field.name for field in fields(Task) if field.name != "convert")
TEXT_KEYS = ("metric", "main_metric", "prompt", "source_prefix", "licence", "source", "description")
FILE_KEYS = (*SPLITS, "format")
HUB_KEYS = ("hub", "revision", "config", "folder", *SPLITS)


def read_task(entry: Any, findings: Findings, folder: Path, tasks_from: Sequence[Path] = ()) -> Task | None:
    """The task that `entry` asks for; None where `findings` then tell why not.

    Paths are relative to the working directory; files are also looked for in `folder`. `tasks_from` are the folders
    of the user's own task files.
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
    if "labels" in given:
        given["labels"] = tuple(str(label) for label in as_list(given["labels"]))
    if given.get("markers", MARKERS[0]) not in MARKERS:
        findings.wrong(
            f"task '{name}': unknown markers '{given['markers']}': {suggest(str(given['markers']), MARKERS)}"
        )
    own = "kind" in entry or ("data" in entry and name not in task_names(tasks_from))
    if own:
        _check_own(name, entry, findings)
    if "data" in entry:
        given["data"] = _data(name, entry["data"], findings, folder)
    task = _own_task(name, given) if own else _registered(name, given, findings, tasks_from)
    if task is None or len(findings.errors) > before:
        return None
    if task.negative_label and task.kind != "relation_extraction":
        findings.wrong(f"task '{name}': negative_label: {task.kind} has none, only relation_extraction")
    placeholder = f"{{{KINDS[task.kind].columns[0]}}}"
    if task.prompt and placeholder not in task.prompt:
        findings.wrong(f"task '{name}': prompt: {placeholder} is missing in {task.prompt!r}")
    return task


def _registered(name: str, changes: Mapping[str, Any], findings: Findings, tasks_from: Sequence[Path]) -> Task | None:
    try:
        return replace(load_task(name, tasks_from), **changes)
    except KeyError:
        findings.wrong(f"unknown task '{name}': {suggest(name, task_names(tasks_from))}")
    except UserError as error:
        findings.errors.append(error)
    return None


def _check_own(name: str, entry: Mapping[str, Any], findings: Findings) -> None:
    if slug(name) != name:
        findings.wrong(f"tasks: name '{name}': only letters, digits, '.', '_' and '-'")
    for key in ("kind", "data"):
        if key not in entry:
            findings.wrong(f"task '{name}': '{key}' is missing: a task of one's own has both `kind` and `data`")
    if "kind" in entry and entry["kind"] not in KINDS:
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
        if "format" in content and content["format"] not in FORMATS:
            findings.wrong(
                f"task '{name}': data.format: unknown format '{content['format']}': "
                f"{suggest(str(content['format']), FORMATS)}"
            )
    if len(findings.errors) > before:
        return None
    if hub:
        return Hub(id=content["hub"], **{key: value for key, value in content.items() if key != "hub"})
    return Files(**{key: found(value, folder) if key in SPLITS else value for key, value in content.items()})


def _check_hub(key: str, value: Any, findings: Findings) -> None:
    if not _is_count(key, value, findings):
        findings.typed(key, value, str, "text")


def _check_file(key: str, value: Any, findings: Findings) -> None:
    if isinstance(value, list):
        if len(value) != 2 or not all(isinstance(path, str) for path in value):
            findings.wrong(f"{key}: expected two line-aligned files, found {value!r}")
    elif not _is_count(key, value, findings):
        findings.typed(key, value, str, "the path of a file")


def _is_count(key: str, value: Any, findings: Findings) -> bool:
    """Whether `value` says how many examples of train to take for validation."""
    if not key.endswith(".validation") or not isinstance(value, int) or isinstance(value, bool):
        return False
    if value < 1:
        findings.wrong(f"{key}: {value} would leave the split empty")
    return True


def found(value: Any, folder: Path) -> Any:
    """A path as it stands from the working directory, or in `folder` where it is only there; numbers as they are."""
    if isinstance(value, list):
        return tuple(found(path, folder) for path in value)
    if not isinstance(value, str):
        return value
    here, beside = Path(value).expanduser(), folder / value
    return str(beside if not here.exists() and beside.exists() else here)
