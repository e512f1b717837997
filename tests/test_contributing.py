"""What contributors read names commands and files that exist; what the forge and pre-commit read is well formed."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
GUIDES = ("CONTRIBUTING.md", "RELEASING.md", ".github/PULL_REQUEST_TEMPLATE.md")
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("guide", GUIDES)
def test_commands_and_files_exist(guide: str) -> None:
    text = (ROOT / guide).read_text(encoding="utf-8")
    assert set(re.findall(r"`make ([\w-]+)|^make ([\w-]+)", text, re.MULTILINE))
    for pair in re.findall(r"`make ([\w-]+)|^make ([\w-]+)", text, re.MULTILINE):
        assert set(pair) - {""} <= TARGETS
    for path in re.findall(r"\b(?:src|docs|tests|tools|benchmarks|eval_tasks)/[\w./-]*", text):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\(([\w./-]+)\)", text):
        assert (ROOT / path).exists(), path


def test_the_workflow_calls_targets_of_the_makefile() -> None:
    jobs = read_yaml(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    named = {command.removeprefix("make ") for command in commands} - {"${{ matrix.target }}"}
    assert named | set(jobs["slow"]["strategy"]["matrix"]["target"]) <= TARGETS
    assert {"quality", "test"} <= named, "CI on the forge runs what the guide names"


def test_the_workflow_tests_each_python_that_the_classifiers_name() -> None:
    tested = read_yaml(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    declared = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert tested == declared


@pytest.mark.parametrize("path", [form for form in FORMS if form.name != "config.yml"], ids=lambda path: path.stem)
def test_issue_forms_have_what_the_forge_asks(path: Path) -> None:
    form = read_yaml(path)
    assert form["name"]
    assert form["description"]
    ids = [field["id"] for field in form["body"]]
    assert len(ids) == len(set(ids))
    assert all(field["attributes"]["label"] for field in form["body"])


def test_pre_commit_runs_the_tools_of_make_quality() -> None:
    (repository,) = read_yaml(ROOT / ".pre-commit-config.yaml")["repos"]
    entries = " ".join(hook["entry"] for hook in repository["hooks"])
    for command in ("ruff check", "ruff format", "mypy"):
        assert f".venv/bin/{command}" in entries
        assert command in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_no_two_test_files_share_a_name() -> None:
    """pytest imports them by their names alone, and a run of one folder does not show that two are the same."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
