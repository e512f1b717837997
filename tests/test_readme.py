"""The README and the pages say what is: tables come from the rows, the tree names files that exist."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FAMILIES = (ROOT / "docs" / "families.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def families() -> Any:
    spec = importlib.util.spec_from_file_location("families", ROOT / "tools" / "families.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_families_comes_from_the_rows() -> None:
    module = families()
    written = FAMILIES.split(module.BEGIN)[1].split(module.END)[0]
    assert written == module.table(), "run `python tools/families.py`"


def test_the_tree_names_what_there_is() -> None:
    tree = GUIDE.split("## The tree")[1].split("```")[1]
    folders, named = [ROOT], set()
    for line in tree.strip().splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        match = re.match(r"[\w./]+(?:, [\w./]+)*", line.strip())
        assert match is not None
        del folders[depth + 1 :]
        for name in match[0].split(", "):
            path = folders[depth] / name
            assert path.exists() or path == ROOT / "results", path  # made by the first run
            named.add(path)
        folders.append(path)
    package = ROOT / "src" / "peft_bottleneck"
    there = {path for path in package.iterdir() if path.name not in ("__pycache__", "py.typed")}
    assert there <= named


def test_files_that_the_documents_name_are_there() -> None:
    named = set()
    for document in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = document.read_text(encoding="utf-8")
        for path in re.findall(r"\b(?:benchmarks|configs|docs|examples|tests|tools)/[\w./-]*\w", text):
            if path != "configs/mine.yaml":  # the reader's own
                named.add((document.name, path))
                assert (ROOT / path).exists(), f"{document.name}: {path}"
    assert ("many-devices.md", "tests/bench/training/test_resumption.py") in named


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name for pair in re.findall(r"^make ([\w-]+)|`make ([\w-]+)`", README, re.MULTILINE) for name in pair if name
    }
    assert named >= {"demo", "test"}
    assert named <= targets
