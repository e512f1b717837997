"""Checkpoints of AdapterHub's library (`adapters`), read by `load_adapterhub`.

A checkpoint is a directory with `adapter_config.json` and `adapter.safetensors` or `pytorch_adapter.bin`, as
`save_adapter` writes it. Its parameters are called

    <block>.<location>.adapters.<name>.adapter_down.0.weight    (and further ones, see `PARAMETERS`)

where `<block>` is a block's name in transformers 4.57 and `<location>` depends on the family (`LAYOUTS`). What our
equations do not express is refused by name, never loaded with other numbers.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file
from torch import Tensor

from .config import BottleneckConfig
from .layer import BottleneckLayer
from .methods import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig
from .sites import Family, family_of

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILES = ("adapter.safetensors", "pytorch_adapter.bin")


@dataclass(frozen=True)
class Layout:
    """Where AdapterHub's library keeps the bottlenecks of a family, relative to a block.

    Attributes:
        attention: the module that holds the bottlenecks of the attention output.
        output: likewise of the FFN output.
        renamed: a block's name in transformers 5 and in 4.57, where they differ.
    """

    attention: str = "attention_adapters"
    output: str = "output_adapters"
    renamed: tuple[str, str] | None = None


_BERT = Layout("attention.output", "output")
_T5 = Layout("", "")
LAYOUTS: Mapping[str, Layout] = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "electra", "deberta", "deberta-v2"), _BERT),
    **dict.fromkeys(("t5", "mt5"), _T5),
    **dict.fromkeys(("bart", "mbart", "whisper", "distilbert", "gpt2", "llama", "mistral"), Layout()),
    "vit": Layout(output="output.output_adapters", renamed=("layers.", "encoder.layer.")),
}

# Our parameters and AdapterHub's
PARAMETERS = {
    "down.{name}.weight": "adapter_down.0.weight",
    "down.{name}.bias": "adapter_down.0.bias",
    "up.{name}.weight": "adapter_up.weight",
    "up.{name}.bias": "adapter_up.bias",
    "scaling.{name}": "scaling",
}


# What our equations express only with these values.
FIXED = {
    "original_ln_after": True,
    "ln_before": False,
    "ln_after": False,
    "use_gating": False,
    "inv_adapter": None,
    "cross_adapter": False,
    "leave_out": [],
    "phm_layer": False,
    "stochastic_depth": 0.0,
}


def load_adapterhub(model: Any, path: str | os.PathLike[str], adapter_name: str = "default") -> PeftModel:
    """`model` with the bottlenecks of an AdapterHub checkpoint (a directory or a hub id) as adapter `adapter_name`.

    Raises:
        ValueError: the checkpoint holds what our equations do not express, or does not fit the model.
    """
    directory = _directory(path)
    description = json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8"))
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    family = family_of(base)
    layout = LAYOUTS.get(base.config.model_type)
    if family is None or layout is None:
        raise ValueError(f"AdapterHub: {base.config.model_type!r} is not among {sorted(LAYOUTS)}.")
    config = _our_config(description["config"])
    if isinstance(model, PeftModel):
        model.add_adapter(adapter_name, config)
    else:
        model = get_peft_model(model, config, adapter_name=adapter_name)
    own = dict(_parameters(model, adapter_name, family, layout))
    held = f".adapters.{description['name']}."
    theirs = {key.replace(held, ".adapters."): value for key, value in _read_weights(directory).items()}
    by_name = {name: key for name in own for key in theirs if key == name or key.endswith("." + name)}
    missing, unknown = own.keys() - by_name.keys(), theirs.keys() - set(by_name.values())
    if missing or unknown:
        raise ValueError(f"AdapterHub: {path} lacks {sorted(missing)} and has unknown {sorted(unknown)}.")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(theirs[by_name[name]])
    return model


def _our_config(theirs: Mapping[str, Any]) -> BottleneckConfig:
    refused = {key: theirs[key] for key, value in FIXED.items() if theirs.get(key, value) != value}
    if refused:
        raise ValueError(f"AdapterHub: our equations do not express {refused}.")
    settings = dict(
        reduction_factor=theirs["reduction_factor"],
        non_linearity=theirs["non_linearity"].lower(),
        dropout=theirs["dropout"],
        scaling=theirs["scaling"],
    )
    sites = theirs["mh_adapter"], theirs["output_adapter"]
    kind = theirs["is_parallel"], theirs["original_ln_before"], theirs["residual_before_ln"]
    if theirs["is_parallel"] and sites == (False, True):
        return ParallelAdapterConfig(parallel_input="residual", **settings)
    if kind == (False, True, True) and sites == (False, True):
        return PfeifferConfig(**settings)
    if kind == (False, False, True) and sites == (True, True):
        return HoulsbyConfig(**settings)
    raise ValueError(f"AdapterHub: our equations do not express {dict(theirs)}.")


def _parameters(model: PeftModel, adapter_name: str, family: Family, layout: Layout) -> Iterator[tuple[str, Tensor]]:
    """The parameters of an adapter by AdapterHub's names, without the adapter's and without what leads to blocks."""
    path = re.compile(rf"(?:.*\.)?(?P<block>{family.block})\.(?P<attention>{family.attention_output}$)?.*")
    for name, layer in model.get_base_model().named_modules():
        match = path.fullmatch(name)
        if not isinstance(layer, BottleneckLayer) or adapter_name not in layer.settings or match is None:
            continue
        block = match["block"].replace(*layout.renamed) if layout.renamed else match["block"]
        location = layout.attention if match["attention"] else layout.output
        state = layer.state_dict()
        for own, theirs in PARAMETERS.items():
            parameter = state.get(layer.prefix + own.format(name=adapter_name))
            if parameter is not None:
                yield ".".join(filter(None, (block, location, "adapters", theirs))), parameter


def _directory(path: str | os.PathLike[str]) -> Path:
    if os.path.isdir(path):
        return Path(path)
    return Path(snapshot_download(str(path), allow_patterns=[CONFIG_FILE, *WEIGHTS_FILES]))


def _read_weights(directory: Path) -> dict[str, Tensor]:
    safe, pickled = (directory / name for name in WEIGHTS_FILES)
    weights: dict[str, Tensor] = (
        load_file(safe) if safe.exists() else torch.load(pickled, map_location="cpu", weights_only=True)
    )
    return weights
