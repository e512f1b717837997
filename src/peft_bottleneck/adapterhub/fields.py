"""The fields of the library's configurations: their defaults, our fields for them, and those without effect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from ..config import BottleneckConfig
from ..methods import HoulsbyConfig, PfeifferConfig
from ..registration import PeftConfig

# The fields that decide what is computed, with their defaults; `...` means that there is none.
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
# The fields that detail others of them.
PHM_DEFAULTS: Mapping[str, object] = MappingProxyType(
    {
        "phm_dim": 4,
        "phm_rank": 1,
        "phm_bias": True,
        "learn_phm": True,
        "shared_phm_rule": True,
        "factorized_phm_rule": False,
        "shared_W_phm": False,
        "factorized_phm_W": True,
    }
)
DETAILS: Mapping[str, object] = MappingProxyType(
    {**PHM_DEFAULTS, "inv_adapter_reduction_factor": None, "adapter_residual_before_ln": False}
)
# Fields that decide on initial weights only.
INITIAL = ("init_weights_seed", "hypercomplex_nonlinearity", "phm_c_init", "phm_init_range")
# Our fields that have the same name there.
SAME = ("dropout", "scaling", "ln_before", "ln_after", "use_gating", "stochastic_depth")
ORDER = ("original_ln_before", "original_ln_after", "residual_before_ln")
SEQUENTIAL: Mapping[tuple[object, ...], type[BottleneckConfig]] = MappingProxyType(
    {
        (False, True, True): HoulsbyConfig,
        (False, True, False): HoulsbyConfig,
        (True, True, True): PfeifferConfig,
        (True, False, False): PfeifferConfig,  # `h + B(h)` on the block's output `h` in every family
    }
)
# Initial weights: without effect on a loaded adapter, kept for readers of the configuration.
INIT_WEIGHTS: Mapping[str, dict[str, object]] = MappingProxyType(
    {
        "bert": dict(init_method="bert", init_weights=False),
        "houlsby": dict(init_method="houlsby", init_weights=False),
        "mam_adapter": dict(init_method="kaiming", init_weights=True),
    }
)
# Our values that the library does not compute: newer than transformers 4.57, or with weights that it would train.
ONLY_OURS = ("hardswish", "sqrtsoftplus", "prelu", "xielu")
# Our fields that have no effect while another is at its default, with their own defaults.
SUBORDINATE: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            ("phm_rank", "shared_phm_rule", "factorized_phm_rule", "shared_phm_weights", "learn_phm"), "phm_dim"
        ),
        **dict.fromkeys(("invertible_reduction_factor", "invertible_modules"), "invertible"),
    }
)
# Our fields that follow from the sites, their sizes and their weights, or that compute nothing.
TOLD_OTHERWISE = frozenset(field.name for field in fields(PeftConfig)) | {
    "reduction_factor",
    "bottleneck_size",
    "bottleneck_size_pattern",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "parallel_input",
    "summand_modules",
    "foldable",
    "non_linearity",
    "init_weights",
    "init_method",
    "modules_to_save",
}

# The configurations that the library has a name for, older names included.
_SEQ: Mapping[str, object] = {
    "mh_adapter": False,
    "output_adapter": True,
    "reduction_factor": 16,
    "non_linearity": "relu",
    "original_ln_before": True,
}
_DOUBLE_SEQ: Mapping[str, object] = {
    "mh_adapter": True,
    "output_adapter": True,
    "reduction_factor": 16,
    "non_linearity": "swish",
}
_PAR: Mapping[str, object] = {
    "mh_adapter": False,
    "output_adapter": True,
    "reduction_factor": 2,
    "non_linearity": "relu",
    "is_parallel": True,
    "scaling": 4.0,
    "init_weights": "mam_adapter",
}
_INVERTIBLE: Mapping[str, object] = {"inv_adapter": "nice", "inv_adapter_reduction_factor": 2}
_PHM: Mapping[str, object] = {"phm_layer": True, "reduction_factor": 32, "non_linearity": "gelu"}
_NAMED: Mapping[tuple[str, ...], Mapping[str, object]] = {
    ("seq_bn", "pfeiffer"): _SEQ,
    ("double_seq_bn", "houlsby"): _DOUBLE_SEQ,
    ("par_bn", "parallel"): _PAR,
    ("scaled_par_bn", "scaled_parallel"): {**_PAR, "scaling": "learned"},
    ("seq_bn_inv", "pfeiffer+inv"): {**_SEQ, **_INVERTIBLE},
    ("double_seq_bn_inv", "houlsby+inv"): {**_DOUBLE_SEQ, **_INVERTIBLE},
    ("compacter++",): {**_SEQ, **_PHM},
    ("compacter",): {**_DOUBLE_SEQ, **_PHM},
}
PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {name: fields for names, fields in _NAMED.items() for name in names}
)
