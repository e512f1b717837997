"""Every value of every field of a bottleneck's configuration in AdapterHub's library, one field changed at a time.

`make_oracle.py --fields` computes them with the library, and `field_table.py` prints what becomes of each here.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from adapters import BnConfig, DoubleSeqBnConfig, ParBnConfig, SeqBnConfig

_BASES: dict[str, tuple[type[BnConfig], dict[str, Any]]] = {
    "double": (DoubleSeqBnConfig, {"reduction_factor": 4}),
    "seq": (SeqBnConfig, {"reduction_factor": 4}),
    "par": (ParBnConfig, {"reduction_factor": 4}),
}
_PHM = {"phm_layer": True, "phm_dim": 2, "shared_phm_rule": False, "init_weights": "bert"}
_VALUES: dict[str, list[dict[str, Any]]] = {
    "scaling": [{"scaling": value} for value in (0.5, 4.0, "learned", "channel")],
    "reduction_factor": [{"reduction_factor": value} for value in (1, 0.5, 2.5, 1000, {"0": 2, "default": 8})],
    "leave_out": [{"leave_out": value} for value in ([0], [1], [0, 1])],
    "init_weights": [{"init_weights": value} for value in ("bert", "houlsby", "mam_adapter")],
    "seed": [{"init_weights_seed": 1}],
    "dropout": [{"dropout": 0.5}],
    "stochastic_depth": [{"stochastic_depth": 0.5}],
    "use_gating": [{"use_gating": True}],
    "ln": [{"ln_before": True}, {"ln_after": True}, {"ln_before": True, "ln_after": True, "use_gating": True}],
    "adapter_residual_before_ln": [
        {"adapter_residual_before_ln": True},
        {"adapter_residual_before_ln": True, "ln_after": True},
    ],
    "order": [
        {"original_ln_before": before, "original_ln_after": after, "residual_before_ln": residual}
        for before, after, residual in product((False, True), (False, True), (False, True, "post_add"))
    ],
    "sites": [
        {"mh_adapter": attention, "output_adapter": output, "cross_adapter": cross}
        for attention, output, cross in product((False, True), repeat=3)
    ],
    "non_linearity": [
        {"non_linearity": value}
        for value in ("relu", "gelu", "gelu_new", "swish", "silu", "leakyrelu", "tanh", "sigmoid", "linear", "mish")
    ],
    "inv_adapter": [
        {"inv_adapter": "nice", "inv_adapter_reduction_factor": 2},
        {"inv_adapter": "nice", "inv_adapter_reduction_factor": 0.5},
        {"inv_adapter": "nice", "inv_adapter_reduction_factor": 3.0, "non_linearity": "gelu"},
        {"inv_adapter": "glow", "inv_adapter_reduction_factor": 2},
    ],
    "phm": [
        _PHM,
        *({**_PHM, key: value} for key, value in (("phm_bias", False), ("learn_phm", False), ("phm_rank", 3))),
        *({**_PHM, key: True} for key in ("factorized_phm_rule", "shared_W_phm", "shared_phm_rule")),
        {**_PHM, "factorized_phm_W": False},
        {**_PHM, "phm_dim": 8},
    ],
}


def by_field() -> dict[str, BnConfig]:
    """The configurations by name: the base, the field, and which of its values."""
    return {
        f"{base}-{field}-{number}": cls(**(defaults | changes))
        for base, (cls, defaults) in _BASES.items()
        for field, values in _VALUES.items()
        for number, changes in enumerate(values)
    }
