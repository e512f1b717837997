"""What to say where a Python package is missing: the line that installs it, from where this one came."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from urllib.parse import urlsplit
from urllib.request import url2pathname

NAME = "peft-bottleneck"
EXTRA = "bench"


def not_installed(error: ModuleNotFoundError) -> str | None:
    """Which package is missing, and how to install it; None where a module of this project is missing."""
    if (error.name or "peft_bottleneck").startswith("peft_bottleneck"):
        return None
    return f"the Python package '{error.name}' is not installed: try `{install_line()}`"


def install_line() -> str:
    """The command that installs this package once more, with the extra `bench`.

    `pip` records where a package came from unless that is an index (PEP 610): a checkout, a wheel, or a repository.
    """
    try:
        origin = json.loads(distribution(NAME).read_text("direct_url.json") or "{}")
    except PackageNotFoundError:  # the sources of a checkout, without an installation
        return f'pip install ".[{EXTRA}]"'
    if "url" not in origin:
        return f'pip install "{NAME}[{EXTRA}]"'
    if "vcs_info" in origin:
        source = origin["vcs_info"]
        return f'pip install "{NAME}[{EXTRA}] @ {source["vcs"]}+{origin["url"]}@{source["commit_id"]}"'
    if (parts := urlsplit(origin["url"])).scheme != "file":
        return f'pip install "{NAME}[{EXTRA}] @ {origin["url"]}"'
    editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
    return f'pip install {editable}"{url2pathname(parts.path)}[{EXTRA}]"'
