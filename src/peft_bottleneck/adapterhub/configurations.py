"""The configurations of the two libraries, each from the other.

With `y` the output of attention or FFN, `r` the residual stream that is added to it and `LN` the norm after that
(absent in pre-LN families), a sequential adapter of AdapterHub's library computes

    x = LN(y + r) if original_ln_before else y
    z = (y if residual_before_ln else x) + B(x)
    LN(z + r) if original_ln_after else z

and a parallel one `LN(y + B(r) + r)`. Of these, `SEQUENTIAL` lists what our three placements compute.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from ..config import BottleneckConfig
from ..layer import BottleneckLayer
from ..methods import (
    HoulsbyConfig,
    HoulsbyModel,
    ParallelAdapterConfig,
    ParallelAdapterModel,
    PfeifferConfig,
    PfeifferModel,
)
from ..registration import PeftConfig
from .names import SITES, Layer, Names

METHODS = MappingProxyType(
    {HoulsbyConfig: HoulsbyModel, PfeifferConfig: PfeifferModel, ParallelAdapterConfig: ParallelAdapterModel}
)

# The fields that decide what is computed, with their defaults; `...` stands for none.
DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "mh_adapter": ...,
        "output_adapter": ...,
        "reduction_factor": ...,
        "non_linearity": ...,
        "original_ln_before": False,
        "original_ln_after": True,
        "residual_before_ln": True,
        "is_parallel": False,
        "scaling": 1.0,
        "dropout": 0.0,
        "leave_out": [],
        "cross_adapter": False,
        "init_weights": "bert",
        "ln_before": False,
        "ln_after": False,
        "use_gating": False,
        "inv_adapter": None,
        "phm_layer": False,
        "stochastic_depth": 0.0,
        "architecture": None,
    }
)
# Those of them that our equations express at their default only.
ONLY_DEFAULT = ("ln_before", "ln_after", "use_gating", "inv_adapter", "phm_layer", "stochastic_depth")
# Fields that only detail those, without effect while they are at their defaults.
DETAILS = re.compile(
    r"adapter_residual_before_ln|init_weights_seed|inv_adapter_reduction_factor|hypercomplex_nonlinearity"
    r"|(phm|learn_phm|shared_phm|shared_W_phm|factorized_phm)\w*"
)
ORDER = ("original_ln_before", "original_ln_after", "residual_before_ln")
SEQUENTIAL: Mapping[tuple[Any, ...], type[BottleneckConfig]] = MappingProxyType(
    {
        (False, True, True): HoulsbyConfig,
        (False, True, False): HoulsbyConfig,
        (True, True, True): PfeifferConfig,
        (True, False, False): PfeifferConfig,  # `h + B(h)` on the block's output `h` in every family
    }
)
# How weights are drawn: without effect on a loaded adapter, kept for who reads the configuration.
INIT_WEIGHTS: Mapping[str, dict[str, Any]] = MappingProxyType(
    {
        "bert": dict(init_method="bert", init_weights=False),
        "houlsby": dict(init_method="houlsby", init_weights=False),
        "mam_adapter": dict(init_method="kaiming", init_weights=True),
    }
)
# Ours that the library does not compute: newer than transformers 4.57, or with weights that it would train.
ONLY_OURS = ("hardswish", "sqrtsoftplus", "prelu", "xielu")
# Our fields that are told by the sites, their sizes and their weights, or that compute nothing.
TOLD_OTHERWISE = frozenset(field.name for field in fields(PeftConfig)) | {
    "reduction_factor",
    "bottleneck_size",
    "bottleneck_size_pattern",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "parallel_input",
    "foldable",
    "non_linearity",
    "init_weights",
    "init_method",
    "modules_to_save",
}


def not_expressed(theirs: Mapping[str, Any], names: Names) -> list[str]:
    """What our equations do not express of a configuration of theirs, in this model."""
    if theirs.get("architecture"):
        return [f"architecture={theirs['architecture']!r} is not expressed, only bottleneck adapters are"]
    missing = [key for key, default in DEFAULTS.items() if default is ... and key not in theirs]
    if missing:
        return [f"the configuration lacks {', '.join(missing)}"]
    unknown = [key for key in theirs if key not in DEFAULTS and not DETAILS.fullmatch(key)]
    theirs = {**DEFAULTS, **theirs}
    different = [key for key in ONLY_DEFAULT if (theirs[key] or None) != (DEFAULTS[key] or None)]
    problems = [f"unknown field {key}={theirs[key]!r}" for key in unknown]
    problems += [f"{key}={theirs[key]!r} is not expressed, only {DEFAULTS[key]!r}" for key in different]
    if theirs["init_weights"] not in INIT_WEIGHTS:
        problems.append(f"init_weights={theirs['init_weights']!r} is none of {', '.join(INIT_WEIGHTS)}")
    factor, layers = theirs["reduction_factor"], sorted({layer.number for layer in names.layers().values()})
    if not set(layers) - set(theirs["leave_out"]):
        problems.append(f"leave_out={theirs['leave_out']!r} leaves no layer")
    if isinstance(factor, Mapping) and "default" not in factor:
        lacking = [index for index in layers if str(index) not in factor]
        problems += [f"reduction_factor has neither a default nor layer {index}" for index in lacking]
    method = _method(theirs)
    sites = [site for site in SITES if theirs[site] and names.modules()[site]]
    if method is None:
        order = ", ".join(f"{key}={theirs[key]!r}" for key in (*ORDER, "is_parallel"))
        problems.append(f"{order} is not expressed")
    elif method.peft_type_name in names.layout.refused:
        reason = names.layout.refused[method.peft_type_name]
        problems.append(f"{method.peft_type_name} is not expressed for {names.base.config.model_type}: {reason}")
    elif not sites or (method is not HoulsbyConfig and sites != ["output_adapter"]):
        problems.append(f"{method.peft_type_name} is not expressed with the sites {', '.join(sites) or 'none'}")
    return problems


def our_config(theirs: Mapping[str, Any], names: Names) -> BottleneckConfig:
    """Our configuration for one of theirs that we express, its sites written out."""
    theirs = {**DEFAULTS, **theirs}
    method, family, layers = _method(theirs), names.family, names.layers()
    assert method is not None
    settings = {key: theirs[key] for key in ("dropout", "scaling")} | INIT_WEIGHTS[theirs["init_weights"]]
    settings["non_linearity"] = theirs["non_linearity"].lower()
    factor = theirs["reduction_factor"]
    settings["reduction_factor"] = factor.get("default") if isinstance(factor, Mapping) else factor
    if isinstance(factor, Mapping):
        settings["bottleneck_size_pattern"] = {
            re.escape(name) + r"\..*": max(1, int(layer.width // factor[str(layer.number)]))
            for name, layer in layers.items()
            if str(layer.number) in factor
        }
    left_out = [re.escape(name) for name, layer in layers.items() if layer.number in theirs["leave_out"]]
    if left_out:
        settings["exclude_modules"] = rf"(?:.*\.)?(?:{'|'.join(left_out)})\..*"
    if method is HoulsbyConfig:
        chosen = (name for site, name in names.modules().items() if name and theirs[site])
        settings["target_modules"] = family.path(*chosen)
        if names.layout.reads and theirs["mh_adapter"]:
            settings["target_modules"] = rf"(?:(?={names.layout.reads}$)|){settings['target_modules']}"
            settings["input_modules"] = r"\g<read>"
    elif method is ParallelAdapterConfig:
        settings["parallel_input"] = names.layout.parallel
    elif not theirs["original_ln_after"]:
        settings |= {"target_modules": family.path(family.ffn_output), "output_modules": r"\g<block>"}
    elif names.layout.pfeiffer == "ffn":
        settings["target_modules"] = family.path(family.ffn_output)
    config = method(**settings)
    if config.target_modules is None:
        for name, value in vars(METHODS[method].site(family, config)).items():
            if value is not None:
                setattr(config, name, value)
    return config


def their_config(config: BottleneckConfig, names: Names, adapter_name: str) -> dict[str, Any]:
    """Their configuration that comes nearest to an adapter of ours; `differences` tells whether it is the same."""
    sites = names.sites(adapter_name)
    places = {name: place for name in sites if (place := names.place(name)) is not None}
    sizes = {place.layer: size(sites[name], adapter_name) for name, place in places.items()}
    layers = names.layers()
    sequential = not isinstance(config, ParallelAdapterConfig)
    at_block = getattr(config, "output_modules", None) is not None and names.family.ffn_norm is not None
    drawn = dict(init_method=config.init_method, init_weights=config.init_weights)
    return {
        **DEFAULTS,
        **{site: any(place.site == site for place in places.values()) for site in SITES},
        "reduction_factor": _reduction_factor(config, layers, sizes),
        "non_linearity": "linear" if config.non_linearity == "identity" else config.non_linearity,
        "original_ln_before": isinstance(config, PfeifferConfig),
        "original_ln_after": not at_block,
        "residual_before_ln": not at_block,
        "is_parallel": not sequential,
        "scaling": config.scaling if isinstance(config.scaling, str) else float(config.scaling),
        "dropout": config.dropout,
        "leave_out": sorted({layer.number for name, layer in layers.items() if name not in sizes}),
        "init_weights": next((name for name, value in INIT_WEIGHTS.items() if value == drawn), "bert"),
    }


def differences(config: BottleneckConfig, theirs: Mapping[str, Any], names: Names, adapter_name: str) -> list[str]:
    """What an adapter of ours has that their configuration for it has not, found on the way back."""
    again, sites = our_config(theirs, names), names.sites(adapter_name)
    keys = [field.name for field in fields(config) if field.name not in TOLD_OTHERWISE]
    problems = [
        f"{key}={getattr(config, key)!r}, not {getattr(again, key)!r}"
        for key in keys
        if getattr(config, key) != getattr(again, key)
    ]
    if config.non_linearity in ONLY_OURS:
        problems.append(f"non_linearity={config.non_linearity!r}, which it lacks")
    target, excluded = re.compile(str(again.target_modules)), re.compile(str(again.exclude_modules or r"(?!)"))
    found = (name for name, _ in names.base.named_modules() if target.fullmatch(name) and not excluded.fullmatch(name))
    expected = dict.fromkeys(found)
    problems += [f"a bottleneck at {name}" for name in sites if name not in expected]
    problems += [f"no bottleneck at {name}" for name in expected if name not in sites]
    problems += [
        f"size {size(layer, adapter_name)} at {name}, unlike the rest of its layer"
        for name, layer in sites.items()
        if size(layer, adapter_name) != again.size_for(name, layer.in_features)
    ]
    return problems


def size(layer: BottleneckLayer, adapter_name: str) -> int:
    """The `r` of an adapter's bottleneck."""
    return int(getattr(layer, f"{layer.prefix}down")[adapter_name].out_features)


def _method(theirs: Mapping[str, Any]) -> type[BottleneckConfig] | None:
    if theirs["is_parallel"]:
        return ParallelAdapterConfig if theirs["original_ln_after"] else None
    return SEQUENTIAL.get(tuple(theirs[key] for key in ORDER))


def _reduction_factor(config: BottleneckConfig, layers: Mapping[str, Layer], sizes: Mapping[str, int]) -> Any:
    """A factor that gives all layers their size: the configuration's own, or one for each layer where that fails."""
    own = config.reduction_factor
    if own is not None and all(max(1, int(layers[name].width // own)) == size for name, size in sizes.items()):
        return own
    factors = {
        str(layer.number): layer.width // sizes[name]
        if layer.width % sizes[name] == 0
        else layer.width / (sizes[name] + 0.5)
        for name, layer in layers.items()
        if name in sizes
    }
    first, *others = factors.values()
    return {"default": first} | factors if any(other != first for other in others) else first
