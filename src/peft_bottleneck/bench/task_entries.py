"""The entries of `tasks` in a run configuration: a registered task, one with some fields changed, or one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from eval_tasks import MARKERS, Files, Hub, Task, load_task, task_names

from .data import SPLITS
from .errors import suggest
from .findings import Findings, as_list, slug
from .kinds import KINDS

TASK_KEYS = tuple(field.name for field in fields(Task) if field.name != "convert")
HUB_KEYS = ("hub", "revision", "config", *SPLITS)


def read_task(entry: Any, findings: Findings, folder: Path) -> Task | None:
    """The task that `entry` asks for; None where `findings` then tell why not.

    Paths are relative to the working directory; files are also looked for in `folder`.
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
    if "labels" in given:
        given["labels"] = tuple(str(label) for label in as_list(given["labels"]))
    if given.get("markers", MARKERS[0]) not in MARKERS:
        findings.wrong(
            f"task '{name}': unknown markers '{given['markers']}': {suggest(str(given['markers']), MARKERS)}"
        )
    if entry.keys() & {"kind", "data"}:
        task = _own_task(name, entry, given, findings, folder)
    else:
        task = _registered(name, given, findings)
    if task is None or len(findings.errors) > before:
        return None
    placeholder = f"{{{KINDS[task.kind].columns[0]}}}"
    if task.prompt and placeholder not in task.prompt:
        findings.wrong(f"task '{name}': prompt: {placeholder} is missing in {task.prompt!r}")
    return task


def _registered(name: str, changes: Mapping[str, Any], findings: Findings) -> Task | None:
    try:
        return replace(load_task(name), **changes)
    except KeyError:
        findings.wrong(f"unknown task '{name}': {suggest(name, task_names())}")
        return None


def _own_task(
    name: str, entry: Mapping[str, Any], given: Mapping[str, Any], findings: Findings, folder: Path
) -> Task | None:
    if slug(name) != name:
        findings.wrong(f"tasks: name '{name}': only letters, digits, '.', '_' and '-'")
    if entry.get("kind") not in KINDS:
        findings.wrong(f"task '{name}': unknown kind '{entry.get('kind')}': {suggest(str(entry.get('kind')), KINDS)}")
    data = _data(name, entry.get("data"), findings, folder)
    return Task(name=name, data=data, **given) if data is not None and "kind" in given else None


def _data(name: str, content: Any, findings: Findings, folder: Path) -> Files | Hub | None:
    if not isinstance(content, dict):
        findings.wrong(f"task '{name}': data: expected {{train: …, validation: …, test: …}}, found {content!r}")
        return None
    hub = "hub" in content
    before = len(findings.errors)
    findings.keys(content, HUB_KEYS if hub else SPLITS, f"tasks.{name}.data.")
    for key in ("hub", "revision") if hub else SPLITS:
        findings.typed(f"task '{name}': data.{key}", content.get(key), str, "text" if hub else "the path of a file")
    if len(findings.errors) > before:
        return None
    if hub:
        return Hub(id=content["hub"], **{key: value for key, value in content.items() if key != "hub"})
    return Files(**{split: _found(content[split], folder) for split in SPLITS})


def _found(path: str, folder: Path) -> str:
    """`path` from the working directory, or in `folder` where it is only there."""
    here, beside = Path(path).expanduser(), folder / path
    return str(beside if not here.exists() and beside.exists() else here)
