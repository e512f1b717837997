"""The command `convert`: adapters from AdapterHub's library to PEFT, and back; one, or a folder full of them."""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..saved.adapter_groups import CONFIG_FILE, AdapterGroup, adapters_in, description_of, file_in

PEFT_WEIGHTS_FILES = ("adapter_model.safetensors", "adapter_model.bin")
BASE_CONFIG_FILE = "config.json"  # of the base model, which keeps the labels of a head


@dataclass(frozen=True)
class Converted:
    """One adapter that was converted.

    Attributes:
        target: where it is, a path or an address.
        library: that of the result.
        base: the base model.
        class_name: the class of the base model.
        notes: the parts that are left out.
    """

    target: Path | str
    library: str
    base: str
    class_name: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        sentence = f"{self.target}: written for {self.library}, base model {self.base} ({self.class_name})"
        return "\n".join((sentence, *(f"  {note}" for note in self.notes)))


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to those of a parser."""
    parser = commands.add_parser(
        "convert",
        help="turn checkpoints of AdapterHub's library into those of PEFT, or the other way round",
        description="Converts the adapter in SOURCE, whichever of the two libraries wrote it, for the other one. "
        "If SOURCE is a folder of adapters, it converts each, and prints a table. A fusion stays beside the adapters "
        "that it is made of: convert the folder that has them all.",
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="the directory of an adapter, one that contains several, an address of either, or a hub id",
    )
    parser.add_argument("target", metavar="TARGET", help="a new directory, or an address")
    parser.add_argument(
        "--model", help="the base model, a hub id or a directory; the one that SOURCE names if left out"
    )
    parser.add_argument(
        "--class",
        dest="model_class",
        metavar="CLASS",
        help="transformers' class of the model, AutoModelForSequenceClassification for example; if left out, "
        "the one that SOURCE was saved from where PEFT wrote it, else the one that has the prediction head in SOURCE, "
        "or AutoModel",
    )
    parser.set_defaults(command=_convert)


def convert(
    source: Path | str, target: Path | str, model: str | None = None, model_class: str | None = None
) -> Converted:
    """Converts an adapter.

    Args:
        source: a path, an address or a hub id.
        target: a path or an address.

    Raises:
        UserError: a file is missing or damaged, the target is not new, or something in the adapter cannot be
            converted. Nothing is written then.
    """
    from ..records import remote

    with remote.destination(target, new=True) as folder:
        return replace(_converted(_located(source), folder, model, model_class), target=target)


def _converted(source: Path, target: Path, model: str | None, model_class: str | None) -> Converted:
    description = description_of(source)
    group = AdapterGroup.around(source)
    if target.exists() and any(target.iterdir()):
        raise UserError(f"{target} exists and is not empty")
    from_peft = "peft_type" in description
    path = model or description.get("base_model_name_or_path" if from_peft else "model_name")
    if not path:
        raise UserError(f"{source / CONFIG_FILE} names no base model; please give --model")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            # PEFT only warns where the class is not the one that the adapter was saved from.
            warnings.filterwarnings("error", message="Found missing adapter keys")
            class_name = (_to_adapterhub if from_peft else _to_peft)(group, source, target, path, model_class)
    except (OSError, ValueError, TypeError, RuntimeError, UserWarning) as error:
        raise UserError(_one_line(error)) from error
    notes = [note for warning in caught if "AdapterHub" in (note := _one_line(warning.message))]
    return Converted(target, "AdapterHub" if from_peft else "PEFT", path, class_name, tuple(notes))


def _to_peft(group: AdapterGroup, source: Path, target: Path, path: str, model_class: str | None) -> str:
    from peft_bottleneck.adapterhub import load_adapterhub, read_head

    heads = [head for member in group.members if (head := read_head(member)) is not None]
    head = heads[0] if heads else None
    class_name = model_class or (head.auto_class if head is not None else None) or "AutoModel"
    settings = head.settings() if head is not None else {}
    try:
        base = _class(class_name).from_pretrained(path, **settings)
    except ValueError:
        if model_class is not None or class_name == "AutoModel":
            raise
        class_name = "AutoModel"  # transformers has no model of this type with such a head
        base = _class(class_name).from_pretrained(path)
    adapted = load_adapterhub(base, source, group.name)
    if group.name == "default":  # PEFT saves others as a folder in the directory
        adapted.save_pretrained(target)
    else:
        with _in_place_of(target, group.name) as folder:
            adapted.save_pretrained(folder, selected_adapters=[group.name])
    if settings and adapted.peft_config[group.name].modules_to_save:
        base.config.save_pretrained(target)
    return class_name


@contextmanager
def _in_place_of(target: Path, name: str) -> Iterator[str]:
    """A temporary folder, whose folder `name` becomes `target` at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        yield folder
        if target.exists():
            target.rmdir()
        (Path(folder) / name).rename(target)


def _to_adapterhub(group: AdapterGroup, source: Path, target: Path, path: str, model_class: str | None) -> str:
    from peft import PeftModel
    from transformers import AutoConfig

    from peft_bottleneck.adapterhub import read_tensors, save_adapterhub

    for member in group.members:
        read_tensors(member, PEFT_WEIGHTS_FILES, str(member))  # its errors are one line, unlike PEFT's
    class_name = model_class or _class_for_peft(description_of(source))
    settings = {}
    if (source / BASE_CONFIG_FILE).exists():
        settings["config"] = AutoConfig.from_pretrained(source)
    base = _class(class_name).from_pretrained(path, **settings)
    if group.others is None:
        save_adapterhub(PeftModel.from_pretrained(base, source, adapter_name=group.name), target, group.name)
        return class_name
    (first, directory), *others = group.others.items()
    model = PeftModel.from_pretrained(base, directory, adapter_name=first)
    for name, directory in (*others, (group.name, source)):
        model.load_adapter(directory, adapter_name=name)
    with _in_place_of(target, "fusion") as folder:
        save_adapterhub(model, folder, group.name)
    return class_name


def _class(name: str) -> Any:
    import transformers

    if not hasattr(transformers, name):
        raise UserError(f"transformers has no class {name!r}")
    return getattr(transformers, name)


def _located(source: Path | str) -> Path:
    """The directory of an adapter, downloaded if it is an address or the id of a repository."""
    from peft_bottleneck.adapterhub import locate

    from ..records import remote, stores

    if stores.is_address(str(source)):
        return remote.copied(source)
    if Path(source).exists() or str(source).count("/") != 1:
        return Path(source)

    try:
        return locate(str(source))
    except FileNotFoundError as error:
        raise UserError(" ".join(str(error).split())) from error


def _class_for_peft(description: dict[str, Any]) -> str:
    from peft_bottleneck.cards import AUTO_CLASSES

    task_type, mapping = description.get("task_type"), description.get("auto_mapping") or {}
    return str(AUTO_CLASSES.get(task_type or "", mapping.get("base_model_class", "AutoModel")))


def _one_line(error: BaseException | str) -> str:
    return " ".join(str(error).split())


def _convert(parsed: argparse.Namespace) -> int:
    from transformers.utils import logging

    from ..records import remote

    logging.disable_progress_bar()
    folder = remote.copied(parsed.source)
    if folder.is_dir() and file_in(folder) is None and (found := adapters_in(folder)):
        return _convert_all(folder, found, parsed)
    print(convert(folder if folder.is_dir() else parsed.source, parsed.target, parsed.model, parsed.model_class))
    return 0


def _convert_all(folder: Path, found: Sequence[Path], parsed: argparse.Namespace) -> int:
    """Converts every adapter in a folder, and prints each result; returns 1 if one cannot be converted."""
    from rich.table import Table

    from ..terminal import print_wide

    table = Table("adapter", "base model", "class", "result")
    failed = 0
    for source in found:
        name = source.relative_to(folder)
        try:
            one = convert(source, f"{parsed.target}/{name}", parsed.model, parsed.model_class)
        except UserError as error:
            failed += 1
            table.add_row(str(name), "", "", f"not converted: {error}")
            continue
        table.add_row(str(name), one.base, one.class_name, "; ".join((f"for {one.library}", *one.notes)))
    print_wide(table)
    print(f"{len(found) - failed} of {len(found)} adapters converted into {parsed.target}")
    return int(failed > 0)
