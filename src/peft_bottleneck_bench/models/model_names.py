"""What the names of models mean: short labels, and directories inside installed packages."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from ..errors import UserError


def default_label(name: str) -> str:
    """A short name of a model: the package, the last part of the directory, or the hub id."""
    if name.startswith("package:"):
        return name.removeprefix("package:").split("/")[0]
    path = Path(name).expanduser()
    if path.is_dir():
        return re.sub(r"[^\w.-]", "_", path.resolve().name)
    return name.replace("/", "--")


def inside_package(name: str) -> Path:
    """The directory of `package:NAME/PATH`.

    Raises:
        UserError: the package is not installed, or has no such directory.
    """
    package, _, inside = name.removeprefix("package:").partition("/")
    try:
        spec = find_spec(package)  # found, not imported: such packages may import a framework of their own
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"model '{name}': the Python package '{package}' is not installed; "
            f"try `pip install {package.replace('_', '-')}`"
        )
    path = Path(next(iter(spec.submodule_search_locations)), inside)
    if not path.is_dir():
        raise UserError(f"model '{name}': the package has no directory '{inside}'")
    return path
