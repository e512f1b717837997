"""Folders of adapters of either library, and which of them belong together: a fusion and what it is made of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError, suggest
from ..files import files_below

CONFIG_FILE = "adapter_config.json"  # the name in both libraries
FUSION_FILE = "adapter_fusion_config.json"  # of AdapterHub's library


def adapters_in(folder: Path) -> list[Path]:
    """The directories in a folder, at any depth, that hold an adapter."""
    return [file.parent for file in files_below(folder, ".json") if _describes(file)]


@dataclass(frozen=True)
class AdapterGroup:
    """A fusion and the adapters that it is made of, which have one class of the base model; or one adapter alone.

    Attributes:
        name: what the adapter at hand is called.
        others: the adapters that it is made of by name; None: it is not made of others.
        members: the directories of all, this one included.
    """

    name: str
    others: dict[str, Path] | None
    members: tuple[Path, ...]

    @classmethod
    def around(cls, source: Path) -> AdapterGroup:
        """What the adapter in `source` belongs to, as the folders beside it say."""
        own = source.absolute()
        called = {path: _name_of(path) for path in sorted(own.parent.glob("*/")) if _is_whole(path)}
        beside = [*called]
        made_of = _made_of(source)
        if made_of is not None:
            others = {called[path]: path for path in beside if called[path] in made_of and path != own}
            missing = [name for name in made_of if name not in others]
            if missing:
                raise UserError(f"{source}: the adapters {missing} that it is made of are not in folders beside it")
            return cls(source.name, {name: others[name] for name in made_of}, (source, *others.values()))
        for path in beside:
            made_of = _made_of(path)
            if made_of is not None and called.get(own) in made_of:
                members = (path, *(other for other in beside if called[other] in made_of))
                return cls(called[own], None, members)
        return cls("default", None, (source,))


def _describes(file: Path) -> bool:
    return file.name in (CONFIG_FILE, FUSION_FILE) and file.is_file()


def file_in(folder: Path) -> Path | None:
    """The file that describes the adapter in a folder."""
    return next((folder / name for name in (CONFIG_FILE, FUSION_FILE) if (folder / name).is_file()), None)


def _is_whole(folder: Path) -> bool:
    """Whether the file that describes an adapter is there, and can be read."""
    try:
        if file_in(folder) is None or not description_of(folder):
            return False
        _made_of(folder)
    except UserError:
        return False
    return True


def _name_of(folder: Path) -> str:
    """An adapter's name: its own in a checkpoint of AdapterHub's library, its folder's in one of PEFT."""
    description = description_of(folder)
    return folder.name if "peft_type" in description else str(description.get("name"))


def _made_of(folder: Path) -> list[str] | None:
    """The names of the adapters that a fusion is made of; None: it is no fusion.

    Raises:
        UserError: its description does not name them.
    """
    description = description_of(folder)
    if "peft_type" in description:
        composition = description.get("composition")
        if not isinstance(composition, dict):
            return None
        names = composition.get("adapters")
    elif (folder / FUSION_FILE).is_file():
        names = description.get("adapter_names") or str(description.get("name")).split(",")
    else:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{file_in(folder)}: a fusion names the adapters that it is made of, found {names!r}")
    return names


def description_of(source: Path) -> dict[str, Any]:
    """What the file in a folder says of its adapter.

    Raises:
        UserError: there is none, or it is damaged, or of a method that PEFT does not have.
    """
    file = file_in(source)
    if file is None:
        raise UserError(f"{source}: no {CONFIG_FILE} can be read there (no such file)")
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{source}: no {CONFIG_FILE} can be read there ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # no text, no JSON, numbers of thousands of digits, nested deep
        raise UserError(f"{file}: not JSON: {error}") from error
    if not isinstance(description, dict):
        raise UserError(f"{file}: must hold an object, got {type(description).__name__}")
    if "peft_type" in description:
        _check_type(file, description["peft_type"])
    return description


def _check_type(file: Path, found: object) -> None:
    from peft import PeftType

    import peft_bottleneck  # noqa: F401  registers its types

    known = [peft_type.value for peft_type in PeftType]
    if found not in known:
        raise UserError(f"{file}: unknown peft_type {found!r}: {suggest(str(found), known)}")
