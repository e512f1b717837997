"""AdapterFusion in and out of the directories that `save_adapter_fusion` of AdapterHub's library makes.

A fusion directory holds the fusion, and the adapters that it is made of in folders beside it. The library fuses the
bottlenecks' outputs before their dropout, gates and norms, with the configuration of the last adapter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from peft import PeftModel
from torch import Tensor

from ..compose import fuse
from ..composition import FUSION_PARTS, Fusion
from ..layer import BottleneckLayer
from ..methods import ParallelAdapterConfig
from .attention import attend_in_the_order_of_the_library
from .checkpoints import describe, fill, head_to_write, read_head, write_head
from .files import CONFIG_FILE as ADAPTER_FILE
from .files import read_description, read_json, read_tensors, write
from .heads import fitted_head
from .names import Names

CONFIG_FILE = "adapter_fusion_config.json"
WEIGHTS_FILES = ("model_adapter_fusion.safetensors", "pytorch_model_adapter_fusion.bin")
_NAMED: Mapping[str, Mapping[str, Any]] = {
    "static": dict(value=False, regularization=False, value_initialized=False),
    "dynamic": {},
}
_HOLDER = "adapter_fusion_layer"
_DEFAULTS: Mapping[str, Any] = dict(
    key=True,
    query=True,
    value=True,
    query_before_ln=False,
    regularization=True,
    residual_before=False,
    temperature=False,
    value_before_softmax=True,  # `V Σ pᵢ Bᵢ(x)` is `Σ pᵢ V Bᵢ(x)`
    value_initialized=True,
    dropout_prob=None,
)
_ONLY_DEFAULT = ("query_before_ln", "residual_before")
_OUTSIDE = ("use_gating", "ln_after")  # parts of a bottleneck that come after the fusion


def fusion_in(directory: Path) -> Path | None:
    """The folder of the fusion in a directory, or the directory itself; None if it holds none."""
    files = (directory / CONFIG_FILE, *sorted(directory.glob(f"*/{CONFIG_FILE}")))
    return next((file.parent for file in files if file.exists()), None)


def read_fusion(folder: Path, where: str) -> tuple[Fusion, dict[str, Any]]:
    """The fusion that a folder describes, and the description.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the description is damaged, or holds what `Fusion` does not express; the message names all of it.
    """
    description = read_description(folder / CONFIG_FILE, where, _NAMED)
    theirs = {**_DEFAULTS, **description["config"]}
    problems = [f"unknown field {key}={theirs[key]!r}" for key in theirs.keys() - _DEFAULTS.keys()]
    problems += [f"{key}={theirs[key]!r} is not expressed, only False" for key in _ONLY_DEFAULT if theirs[key]]
    adapters = description.get("adapter_names") or description["name"].split(",")
    if not isinstance(adapters, list) or not all(isinstance(name, str) for name in adapters):
        raise ValueError(f"{where}: {CONFIG_FILE}: adapter_names must be a list of names, got {adapters!r}")
    dropout = theirs["dropout_prob"]
    if not isinstance(dropout, int | float | None):
        raise ValueError(f"{where}: {CONFIG_FILE}: dropout_prob must be a number or null, got {dropout!r}")
    fusion = Fusion(
        adapters=adapters,
        query=bool(theirs["query"]),
        key=bool(theirs["key"]),
        value=bool(theirs["value"]),
        dropout=float(dropout or 0.0),
        temperature=bool(theirs["temperature"]),
        init_value=bool(theirs["value_initialized"]),
        regularization=0.01 if theirs["regularization"] else 0.0,
    )
    problems += fusion.problems()
    if problems:
        raise ValueError(f"{where}: {'; '.join(sorted(problems))}")
    return fusion, description


def adapters_beside(folder: Path, where: str) -> dict[str, Path]:
    """The checkpoints of adapters in the folders beside a fusion, by the names that they give them."""
    files = sorted(folder.parent.glob(f"*/{ADAPTER_FILE}"))
    return {str(read_json(file, where).get("name")): file.parent for file in files}


def add_fusion(
    model: PeftModel, folder: Path, fusion: Fusion, name: str, where: str, *, resizable: bool = False
) -> None:
    """Adds a fusion to a model that has its adapters, with the weights of a folder, and its head if there is one.

    `resizable` lets the model take over the number of labels of the fusion's head.

    Raises:
        ValueError: the library fuses these adapters in another way, or the weights do not fit. The model is then as
            before.
    """
    configs = {adapter: model.peft_config[adapter] for adapter in fusion.adapters}
    for adapter, config in configs.items():
        if isinstance(config, ParallelAdapterConfig):
            raise ValueError(f"{where}: {adapter!r} is a parallel adapter; the library adds the residual stream twice")
        for field in _OUTSIDE:
            if getattr(config, field, False):
                raise ValueError(f"{where}: {adapter!r} has {field}=True, which the library leaves out of a fusion")
    names = Names.of(model.get_base_model())
    if not fusion.dropout:
        fusion.dropout = float(getattr(names.base.config, "attention_probs_dropout_prob", 0.0) or 0.0)
    options = {key: value for key, value in vars(fusion).items() if key != "adapters"}
    active = model.active_adapters
    fitted = fitted_head(read_head(folder), names.base, where, resizable=resizable)
    heads = None if fitted is None else fitted.modules_to_save(names.base)
    fuse(model, fusion.adapters, name, modules_to_save=heads, **options)
    weights = _read_weights(folder, where)
    problems = fill(list(_parameters(names, name)), weights, inert=_without_effect(names, name))
    if problems:
        model.base_model.set_adapter(active)
        model.delete_adapter(name)
        raise ValueError(f"{where}: {'; '.join(problems)}")
    attend_in_the_order_of_the_library(names.base)
    if fitted is not None:
        fitted.join(names.base, name)


def write_fusion(model: PeftModel, folder: Path, fusion: Fusion, name: str) -> None:
    """Writes a fusion, and its head, as a folder that `load_adapter_fusion` of the library reads."""
    names = Names.of(model.get_base_model())
    theirs = dict(_DEFAULTS) | {key: getattr(fusion, key) for key in ("key", "query", "value", "temperature")}
    theirs |= {
        "dropout_prob": fusion.dropout,
        "regularization": bool(fusion.regularization),
        "value_initialized": fusion.init_value,
    }
    called = ",".join(fusion.adapters)
    description = describe(names.base, called) | {"adapter_names": fusion.adapters, "config": theirs}
    weights = {key.replace(f"{_HOLDER}.", f"{_HOLDER}.{called}."): value for key, value in _parameters(names, name)}
    write(description, folder / CONFIG_FILE, weights, WEIGHTS_FILES[-1])
    write_head(folder, head_to_write(names.base, model.peft_config[name], name, called), describe(names.base, called))


def _read_weights(folder: Path, where: str) -> dict[str, Tensor]:
    """The tensors by their names without the fusion's own."""
    called = str(read_json(folder / CONFIG_FILE, where)["name"])
    return {
        key.replace(f"{_HOLDER}.{called}.", f"{_HOLDER}."): value
        for key, value in read_tensors(folder, WEIGHTS_FILES, where).items()
    }


def _parameters(names: Names, name: str) -> Iterator[tuple[str, Tensor]]:
    """The parameters of a fusion by the library's names, without what leads to a block and the fusion's own name."""
    for key, layer in names.base.named_modules():
        place = names.place(key)
        if place is not None and isinstance(layer, BottleneckLayer) and name in layer.compositions:
            for part, module in layer.composition_parts(name).items():
                for own, parameter in module.named_parameters():
                    yield f"{place.key.removesuffix('adapters')}{_HOLDER}.{part}.{own}", parameter


def _without_effect(names: Names, name: str) -> set[str]:
    """The tensors that the library saves at places without adapters of the fusion."""
    empty = [
        place.key.removesuffix("adapters")
        for key, module in names.base.named_modules()
        if name not in getattr(module, "compositions", ()) and (place := names.place(key)) is not None
    ]
    used = {key for key, _ in _parameters(names, name)}
    possible = {
        f"{place}{_HOLDER}.{part}.{own}" for place in empty for part in FUSION_PARTS for own in ("weight", "bias")
    }
    places = {key.rpartition(f"{_HOLDER}.")[0] for key in used}
    return {key for key in possible if key.rpartition(f"{_HOLDER}.")[0] not in places}
