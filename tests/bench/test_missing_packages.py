"""The line that installs a missing extra fits the place that this package was installed from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from peft_bottleneck_bench import missing_packages
from peft_bottleneck_bench.missing_packages import install_line, not_installed

CASES = {
    "index": (None, 'pip install "peft-bottleneck[bench]"'),
    "checkout": ({"url": "file:///home/me/a%20b", "dir_info": {}}, 'pip install "/home/me/a b[bench]"'),
    "editable": ({"url": "file:///src", "dir_info": {"editable": True}}, 'pip install -e "/src[bench]"'),
    "wheel": ({"url": "file:///tmp/p-1-py3-none-any.whl"}, 'pip install "/tmp/p-1-py3-none-any.whl[bench]"'),
    "address": ({"url": "https://host/p-1.whl"}, 'pip install "peft-bottleneck[bench] @ https://host/p-1.whl"'),
    "repository": (
        {"url": "https://host/p", "vcs_info": {"vcs": "git", "commit_id": "0a1b"}},
        'pip install "peft-bottleneck[bench] @ git+https://host/p@0a1b"',
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_line_names_where_the_package_came_from(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, expected = CASES[case]
    installed(tmp_path, origin)
    monkeypatch.syspath_prepend(tmp_path)
    assert install_line() == expected
    error = ModuleNotFoundError(name="datasets")
    assert not_installed(error) == f"the Python package 'datasets' is not installed: try `{expected}`"


def installed(folder: Path, origin: dict[str, Any] | None) -> None:
    """What `pip` writes of a package: its name, and where it came from."""
    info = folder / "peft_bottleneck-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: peft-bottleneck\nVersion: 1\n", encoding="utf-8")
    if origin is not None:
        (info / "direct_url.json").write_text(json.dumps(origin), encoding="utf-8")


def test_sources_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing_packages, "NAME", "no-such-package")
    assert install_line() == 'pip install ".[bench]"'


def test_a_module_of_this_project_is_no_missing_package() -> None:
    assert not_installed(ModuleNotFoundError(name="peft_bottleneck.gone")) is None
    assert not_installed(ModuleNotFoundError()) is None
