"""Registers our methods when PEFT is imported, in every Python process that has this folder on its path.

Python imports the first `sitecustomize` on its path when it starts. `peft-bottleneck exec` puts this one first; the
one that it hides runs too. Nothing heavy is imported before the program imports PEFT itself.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType


class RegisteringFinder(MetaPathFinder):
    """Finds PEFT as the other finders do, and has its import end with that of `peft_bottleneck`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "peft":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next((found for finder in others if (found := finder.find_spec(fullname, path, target))), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _RegisteringLoader(spec.loader)
        return spec


class _RegisteringLoader(Loader):
    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        import peft_bottleneck  # noqa: F401

    def __getattr__(self, name: str) -> object:
        return getattr(self.loader, name)


def _run_the_hidden_one() -> None:
    here = Path(__file__).resolve().parent
    spec = PathFinder.find_spec("sitecustomize", [entry for entry in sys.path if Path(entry).resolve() != here])
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(module_from_spec(spec))


sys.meta_path.insert(0, RegisteringFinder())
_run_the_hidden_one()
