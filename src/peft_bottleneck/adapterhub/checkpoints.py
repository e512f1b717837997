"""Adapters in and out of the directories that `save_adapter` of AdapterHub's library makes."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model
from torch import Tensor
from transformers import PreTrainedModel

from ..config import BottleneckConfig
from .configurations import METHODS, differences, not_expressed, our_config, their_config
from .fields import PRESETS
from .files import (
    CONFIG_FILE,
    HEAD_CONFIG_FILE,
    HEAD_WEIGHTS_FILES,
    WEIGHTS_FILES,
    locate,
    read_description,
    read_json,
    read_tensors,
    write,
)
from .heads import Head, fitted_head, head_of
from .layouts import INVERTIBLE, SHARED
from .names import Names

VERSION = "adapters.1.3.0"  # of the format that is written
WrittenHead = tuple[dict[str, Any], dict[str, Tensor]]  # its configuration and its tensors

# The library's first versions use other names for some modules and activations.
_OLD_HOLDERS = re.compile(r"(?:attention|layer)_text_(?:task|lang)_adapters")
# The library saves only parameters with a dot before the name, and without a head there is none.
_LOST = " (the library does not save what the layers share of a model without a head; save it from one with a head)"
_OLD_INVERTIBLE = ("invertible_lang_adapters", INVERTIBLE)
_OLD_NON_LINEARITIES = {"gelu": "gelu_new", "gelu_orig": "gelu"}
_OLD_IN_CAPITALS = ("ln_after", "ln_before", "mh_adapter", "output_adapter")  # LN_after, MH_Adapter, …
# Values of fields that leave an adapter as it is: the first two are the first version's, about fusion.
_WITHOUT_EFFECT = (
    ("attention_type", "sent-lvl-dynamic"),
    ("new_attention_norm", False),
    ("invertible_adapter", None),
    ("leave_out", None),
)


def load_checkpoint(
    model: PreTrainedModel,
    path: str | os.PathLike[str],
    adapter_name: str = "default",
    *,
    leave_out: Sequence[int] = (),
) -> PeftModel:
    """Loads a checkpoint of one adapter; see `directories.load_adapterhub`."""
    where = f"AdapterHub checkpoint {str(path)!r}"
    is_peft = isinstance(model, PeftModel)
    if is_peft and adapter_name in model.peft_config:
        raise ValueError(f"{where}: the model already has an adapter {adapter_name!r}")
    names = Names.of(model.get_base_model() if is_peft else model)
    directory = locate(path)
    description = read_description(directory / CONFIG_FILE, where, PRESETS)
    weights = _read_weights(directory, description["name"], where)
    head = read_head(directory)
    theirs = _modernised(description, weights)
    numbers = sorted({layer.number for layer in names.layers().values()})
    if unknown := [number for number in leave_out if number not in numbers]:
        raise ValueError(f"{where}: leave_out names the layers {unknown}, the model has {numbers[0]} to {numbers[-1]}")
    if leave_out:
        theirs["leave_out"] = sorted({*theirs.get("leave_out", ()), *leave_out})
        unused = [f"{names.renamed(name)}." for name, layer in names.layers().items() if layer.number in leave_out]
        weights = {key: value for key, value in weights.items() if not any(part in key for part in unused)}
    _refuse(where, [*_of_another_model(description, names), *not_expressed(theirs, names)])
    try:
        config = our_config(theirs, names)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    fitted = fitted_head(head, names.base, where, resizable=not is_peft)
    if fitted is not None:
        config.modules_to_save = fitted.modules_to_save(names.base)
    if is_peft:
        model.add_adapter(adapter_name, config)
    adapted = model if is_peft else get_peft_model(model, config, adapter_name=adapter_name)
    problems = fill(list(names.parameters(adapter_name, config)), weights)
    if problems:
        adapted.delete_adapter(adapter_name) if is_peft else adapted.unload()
        _refuse(where, problems)
    if fitted is not None:
        fitted.join(names.base, adapter_name)
    return adapted


def read_head(path: str | os.PathLike[str]) -> Head | None:
    """The prediction head in a checkpoint, a directory or a repository on the hub; None if it has none.

    Raises:
        FileNotFoundError: `path` is neither, or the head has no configuration.
        ValueError: one of the head's files is damaged.
    """
    where, directory = f"AdapterHub checkpoint {str(path)!r}", locate(path)
    if not any((directory / name).exists() for name in HEAD_WEIGHTS_FILES):
        return None
    description = read_json(directory / HEAD_CONFIG_FILE, where)
    weights = read_tensors(directory, HEAD_WEIGHTS_FILES, where)
    try:
        return Head.read(description, weights)
    except ValueError as error:
        raise ValueError(f"{where}: {HEAD_CONFIG_FILE}: {error}") from error


def save_adapterhub(model: PeftModel, path: str | os.PathLike[str], adapter_name: str = "default") -> None:
    """Writes an adapter as a directory that `load_adapter` of AdapterHub's library reads.

    Modules to save that are the model's head are written as a prediction head of the same name.

    Raises:
        ValueError: the model has no such adapter, or it computes what the library does not; the message names all of
            it. Nothing is written then.
    """
    where = f"adapter {adapter_name!r} cannot be written for AdapterHub"
    config = model.peft_config.get(adapter_name)
    if config is None:
        raise ValueError(f"{where}: the model has only {', '.join(map(repr, model.peft_config))}")
    if not isinstance(config, BottleneckConfig):
        types = ", ".join(method.peft_type_name for method in METHODS)
        raise ValueError(f"{where}: it is of type {config.peft_type.value}, not one of {types}")
    names = Names.of(model.get_base_model())
    theirs = their_config(config, names, adapter_name)
    _refuse(where, not_expressed(theirs, names))
    _refuse(where, differences(config, theirs, names, adapter_name))
    head = head_to_write(names.base, config, adapter_name, adapter_name)
    description = describe(names.base, adapter_name)
    weights = {names.written(key, adapter_name): value for key, value in names.parameters(adapter_name, config)}
    write(description | {"config": theirs}, Path(path) / CONFIG_FILE, weights, WEIGHTS_FILES[-1])
    write_head(Path(path), head, description)


def describe(base: PreTrainedModel, name: str) -> dict[str, Any]:
    """What every configuration file of the library says about a model, and the name of what is saved."""
    return {
        "hidden_size": getattr(base.config, "hidden_size", None),
        "model_class": type(base).__name__,
        "model_name": base.config.name_or_path,
        "model_type": base.config.model_type,
        "name": name,
        "version": VERSION,
    }


def head_to_write(
    base: PreTrainedModel, config: BottleneckConfig, adapter_name: str, called: str
) -> WrittenHead | None:
    """The head among an adapter's modules to save; None, and a warning, where the library has no such head."""
    if not config.modules_to_save:
        return None
    head = head_of(base, adapter_name, called)
    if head is None:
        warnings.warn(
            f"modules_to_save={sorted(config.modules_to_save)} are no head of AdapterHub's library, and not written",
            stacklevel=3,
        )
    return head


def write_head(directory: Path, head: WrittenHead | None, description: Mapping[str, Any]) -> None:
    """Writes a head, if there is one, beside what `description` describes."""
    if head is None:
        return
    flexible = re.sub(r"(For\w+|LMHeadModel|Decoder)$", "AdapterModel", str(description["model_class"]))
    content = {**description, "config": head[0], "model_class": flexible}
    write(content, directory / HEAD_CONFIG_FILE, head[1], HEAD_WEIGHTS_FILES[-1])


def _read_weights(directory: Path, name: str, where: str) -> dict[str, Tensor]:
    """The checkpoint's tensors, their names without the adapter's."""
    own_name = re.compile(rf"((?:^|[._])(?:adapters|{SHARED}))\.{re.escape(name)}\.")
    return {
        own_name.sub(r"\1.", _OLD_HOLDERS.sub("adapters", key).replace(*_OLD_INVERTIBLE)): value
        for key, value in read_tensors(directory, WEIGHTS_FILES, where).items()
    }


def _modernised(description: Mapping[str, Any], weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """The configuration of a checkpoint, as the library itself reads those of its first versions."""
    theirs = {
        key.lower() if key.lower() in _OLD_IN_CAPITALS else key: value
        for key, value in description["config"].items()
        if (key, value) not in _WITHOUT_EFFECT
    }
    if "version" not in description and "non_linearity" in theirs:
        name = theirs["non_linearity"]
        theirs["non_linearity"] = _OLD_NON_LINEARITIES.get(str(name), name)
    invertible = theirs.get("invertible_adapter")
    if isinstance(invertible, Mapping):
        del theirs["invertible_adapter"]
        theirs["inv_adapter"] = invertible.get("block_type")
        theirs["inv_adapter_reduction_factor"] = invertible.get("reduction_factor")
    # Old task adapters declare invertible adapters that they do not have.
    if description.get("type") == "text_task" and not any("invertible" in key for key in weights):
        theirs["inv_adapter"] = None
    return theirs


def _of_another_model(description: Mapping[str, object], names: Names) -> list[str]:
    config = names.base.config
    return [
        f"it is for {key}={description[key]!r}, the model has {getattr(config, key)!r}"
        for key in ("model_type", "hidden_size")
        if description.get(key) is not None and description[key] != getattr(config, key, description[key])
    ]


@torch.no_grad()
def fill(
    parameters: Sequence[tuple[str, Tensor]], weights: Mapping[str, Tensor], *, inert: Iterable[str] = ()
) -> list[str]:
    """Copies the weights into the parameters. If some do not fit, names them and copies nothing.

    The library may write a tensor several times, under the names of all modules that lead to it.

    Args:
        parameters: by the ends of the names that they have in `weights`.
        weights: of the checkpoint.
        inert: ends of the names of weights that have no effect.
    """
    found = {name: [key for key in weights if f".{key}".endswith(f".{name}")] for name, _ in parameters}
    problems = [f"it lacks {name}{_LOST * name.startswith(SHARED)}" for name, keys in found.items() if not keys]
    used = {key for keys in found.values() for key in keys}
    used |= {key for key in weights if any(f".{key}".endswith(f".{name}") for name in inert)}
    problems += [f"it has {key}, which the model lacks" for key in weights.keys() - used]
    for name, parameter in parameters:
        for key in found[name]:
            if weights[key].shape != parameter.shape:
                shapes = f"{tuple(weights[key].shape)}, not {tuple(parameter.shape)}"
                problems.append(f"{key} has the shape {shapes}")
            elif not torch.equal(weights[key], weights[found[name][0]]):
                problems.append(f"{key} and {found[name][0]} differ")
    if not problems:
        for name, parameter in parameters:
            parameter.copy_(weights[found[name][0]])
    return sorted(problems)


def _refuse(where: str, problems: list[str]) -> None:
    if problems:
        raise ValueError(f"{where}: {'; '.join(problems)}")
