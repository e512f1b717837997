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
from collections.abc import Iterator, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from ..config import BottleneckConfig
from ..coupling import COUPLINGS
from ..embeddings import end_of_embeddings
from ..layer import BottleneckLayer
from ..methods import (
    HoulsbyConfig,
    HoulsbyModel,
    ParallelAdapterConfig,
    ParallelAdapterModel,
    PfeifferConfig,
    PfeifferModel,
)
from ..methods.parallel import PARALLEL_INPUTS
from ..sites.family import in_block
from .fields import (
    DEFAULTS,
    DETAILS,
    INIT_WEIGHTS,
    INITIAL,
    ONLY_OURS,
    ORDER,
    SAME,
    SEQUENTIAL,
    SUBORDINATE,
    TOLD_OTHERWISE,
)
from .names import SITES, Layer, Names

METHODS = MappingProxyType(
    {HoulsbyConfig: HoulsbyModel, PfeifferConfig: PfeifferModel, ParallelAdapterConfig: ParallelAdapterModel}
)


def not_expressed(theirs: Mapping[str, Any], names: Names) -> list[str]:
    """The features of their configuration that our equations do not express in this model."""
    if theirs.get("architecture"):
        return [f"architecture={theirs['architecture']!r} is not expressed, only bottleneck adapters are"]
    missing = [key for key, default in DEFAULTS.items() if default is ... and key not in theirs]
    if missing:
        return [f"the configuration lacks {', '.join(missing)}"]
    unknown = [key for key in theirs if key not in {**DEFAULTS, **DETAILS} and key not in INITIAL]
    theirs = {**DEFAULTS, **DETAILS, **theirs}
    problems = [f"unknown field {key}={theirs[key]!r}" for key in unknown]
    if malformed := [*_malformed(theirs)]:
        return [*problems, *malformed]
    if _normalises_sum(theirs) and theirs["original_ln_before"] and theirs["original_ln_after"]:
        problems.append(
            "adapter_residual_before_ln=True is not expressed with original_ln_before=True and original_ln_after="
            "True, whose norm reads the FFN's output without the residual stream: our place is where both are added"
        )
    if theirs["inv_adapter"] and names.layout.no_invertible:
        problems.append(f"inv_adapter={theirs['inv_adapter']!r} is not expressed: {names.layout.no_invertible}")
    if theirs["inv_adapter"] not in (None, False, *COUPLINGS):
        problems.append(f"inv_adapter={theirs['inv_adapter']!r} is none of {', '.join(COUPLINGS)}")
    if theirs["init_weights"] not in INIT_WEIGHTS:
        problems.append(f"init_weights={theirs['init_weights']!r} is none of {', '.join(INIT_WEIGHTS)}")
    factor, layers = theirs["reduction_factor"], sorted({layer.number for layer in names.layers().values()})
    if not set(layers) - set(theirs["leave_out"]):
        problems.append(f"leave_out={theirs['leave_out']!r} leaves no layer")
    if isinstance(factor, Mapping) and "default" not in factor:
        lacking = [index for index in layers if str(index) not in factor]
        problems += [f"reduction_factor has neither a default nor layer {index}" for index in lacking]
    method = _method(theirs)
    sites = _sites(theirs, names)
    if method is None:
        order = ", ".join(f"{key}={theirs[key]!r}" for key in (*ORDER, "is_parallel"))
        problems.append(f"{order} is not expressed")
    elif method.peft_type_name in names.layout.refused:
        reason = names.layout.refused[method.peft_type_name]
        problems.append(f"{method.peft_type_name} is not expressed for {names.base.config.model_type}: {reason}")
    elif not sites or not (method is HoulsbyConfig or sites == ["output_adapter"] or _at_attention(theirs, names)):
        problems.append(f"{method.peft_type_name} is not expressed with the sites {', '.join(sites) or 'none'}")
    return problems


def _malformed(theirs: Mapping[str, Any]) -> Iterator[str]:
    """The fields whose values are of a type that they cannot have."""
    left_out, factor = theirs["leave_out"], theirs["reduction_factor"]
    if not isinstance(left_out, list) or not all(isinstance(number, int) for number in left_out):
        yield f"leave_out={left_out!r} is no list of layers' numbers"
    factors = factor.values() if isinstance(factor, Mapping) else (factor,)
    if not all(isinstance(one, (int, float)) and one > 0 for one in factors):
        yield f"reduction_factor={factor!r} is neither a number above 0 nor an object of them"
    if not isinstance(theirs["non_linearity"], str):
        yield f"non_linearity={theirs['non_linearity']!r} is no name of an activation"


def our_config(theirs: Mapping[str, Any], names: Names) -> BottleneckConfig:
    """Our configuration for one of theirs that we express, its sites written out."""
    theirs = {**DEFAULTS, **DETAILS, **theirs}
    method, family, layers = _method(theirs), names.family, names.layers()
    assert method is not None
    settings = {key: theirs[key] for key in SAME} | INIT_WEIGHTS[theirs["init_weights"]] | _maps(theirs)
    settings["adapter_residual_before_ln"] = _normalises_sum(theirs)
    if theirs["inv_adapter"]:
        settings["invertible"] = theirs["inv_adapter"]
        settings["invertible_reduction_factor"] = theirs["inv_adapter_reduction_factor"]
        embeddings = names.layout.embeddings
        settings["invertible_modules"] = end_of_embeddings(names.base, embeddings and rf"(?:.*\.)?{embeddings}")
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
    elif method is ParallelAdapterConfig and names.layout.parallel in PARALLEL_INPUTS:
        settings["parallel_input"] = names.layout.parallel
    elif method is ParallelAdapterConfig:
        settings |= {"target_modules": family.path(family.ffn), "input_modules": names.layout.parallel}
    elif _sites(theirs, names) != ["output_adapter"]:
        settings |= _at_attention(theirs, names)
    elif not theirs["original_ln_after"]:
        settings |= {"target_modules": family.path(family.ffn_output), "output_modules": r"\g<block>"}
    elif names.layout.pfeiffer == "ffn":
        settings["target_modules"] = family.path(family.ffn_output)
    elif names.layout.plain_sum:
        added = names.layout.added or family.ffn or family.ffn_output
        kept = family.residual[0] if family.ffn_norm is None else family.ffn or family.ffn_input[0]
        assert added is not None
        settings["summand_modules"] = f"{in_block(added)}+{in_block(kept)}"
    config = method(**settings)
    if config.target_modules is None:
        for name, value in vars(METHODS[method].site(family, config)).items():
            if value is not None:
                setattr(config, name, value)
    return config


def their_config(config: BottleneckConfig, names: Names, adapter_name: str) -> dict[str, object]:
    """Their configuration nearest to an adapter of ours; `differences` lists what it lacks."""
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
        **{key: getattr(config, key) for key in SAME},
        "adapter_residual_before_ln": config.adapter_residual_before_ln,
        **_their_maps(config),
        "scaling": config.scaling if isinstance(config.scaling, str) else float(config.scaling),
        "inv_adapter": config.invertible,
        "inv_adapter_reduction_factor": config.invertible_reduction_factor if config.invertible else None,
        "leave_out": sorted({layer.number for name, layer in layers.items() if name not in sizes}),
        "init_weights": next((name for name, value in INIT_WEIGHTS.items() if value == drawn), "bert"),
    }


def differences(config: BottleneckConfig, theirs: Mapping[str, object], names: Names, adapter_name: str) -> list[str]:
    """The features of our adapter that their configuration for it lacks, found by converting it back."""
    again, sites = our_config(theirs, names), names.sites(adapter_name)
    keys = [
        field.name
        for field in fields(config)
        if field.name not in TOLD_OTHERWISE
        and (field.name not in SUBORDINATE or getattr(config, SUBORDINATE[field.name]) is not None)
    ]
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


def _normalises_sum(theirs: Mapping[str, Any]) -> bool:
    """Whether the norm after the bottleneck comes after its residual connection: a parallel one has none."""
    return bool(theirs["adapter_residual_before_ln"] and theirs["ln_after"] and not theirs["is_parallel"])


def _sites(theirs: Mapping[str, Any], names: Names) -> list[str]:
    """Their sites that this model has."""
    return [site for site in SITES if theirs[site] and names.modules()[site]]


def _at_attention(theirs: Mapping[str, Any], names: Names) -> dict[str, str]:
    """Our fields for Pfeiffer bottlenecks at attentions too, each on the sum after it; {} if no module has that sum.

    Post-LN: `LN(u + B(LN(u)))`, `LN` the norm after the attention. T5: `h + B(h)`, `h` the output of a sublayer, which
    is a block there.
    """
    if theirs["is_parallel"] or not (theirs["original_ln_before"] and theirs["original_ln_after"]):
        return {}
    sublayers, sites = bool(names.layout.part), _sites(theirs, names)
    modules = [(names.modules() if sublayers else names.norms())[site] for site in sites]
    if not all(modules):
        return {}
    return {"target_modules": names.family.path(*modules), **({"output_modules": r"\g<block>"} if sublayers else {})}


def _maps(theirs: Mapping[str, object]) -> dict[str, object]:
    """Our fields on how the maps are parameterised."""
    if not theirs["phm_layer"]:
        return {}
    return {
        "phm_dim": theirs["phm_dim"],
        "phm_rank": theirs["phm_rank"] if theirs["factorized_phm_W"] else None,
        "use_bias": theirs["phm_bias"],
        "shared_phm_weights": theirs["shared_W_phm"],
        **{key: theirs[key] for key in ("learn_phm", "shared_phm_rule", "factorized_phm_rule")},
    }


def _their_maps(config: BottleneckConfig) -> dict[str, object]:
    """Theirs, the other way round."""
    if config.phm_dim is None:
        return {"phm_layer": False}
    return {
        "phm_layer": True,
        "phm_dim": config.phm_dim,
        "phm_rank": config.phm_rank or 1,
        "factorized_phm_W": config.phm_rank is not None,
        "phm_bias": config.use_bias,
        "shared_W_phm": config.shared_phm_weights,
        **{key: getattr(config, key) for key in ("learn_phm", "shared_phm_rule", "factorized_phm_rule")},
    }


def _method(theirs: Mapping[str, object]) -> type[BottleneckConfig] | None:
    if theirs["is_parallel"]:
        return ParallelAdapterConfig if theirs["original_ln_after"] else None
    return SEQUENTIAL.get(tuple(theirs[key] for key in ORDER))


def _reduction_factor(config: BottleneckConfig, layers: Mapping[str, Layer], sizes: Mapping[str, int]) -> object:
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
