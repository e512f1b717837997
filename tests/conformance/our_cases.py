"""What takes the place of PEFT's own methods in the parametrisations of its suites."""

from __future__ import annotations

from typing import Any

from datasets import Dataset, DatasetDict
from peft import LoraConfig, PeftConfig

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig

Kwargs = dict[str, Any]
TYPES: tuple[type[PeftConfig], ...] = (HoulsbyConfig, PfeifferConfig, ParallelAdapterConfig)
SHORT = {HoulsbyConfig: "houlsby", PfeifferConfig: "pfeiffer", ParallelAdapterConfig: "parallel"}

# --- test_custom_models: toy models of PEFT, whose modules are named here -------------------------------------------

# (the case's name, PEFT's name of the toy model, fields); a size, since `d // 16` of 10 channels is a single unit
_SIZE: Kwargs = {"bottleneck_size": 8}
_SLOW: Kwargs = {"scaling": 30.0, **_SIZE}  # so that three steps of training are seen
CUSTOM: list[tuple[str, str, Kwargs]] = [
    ("MLP 1", "MLP", {"target_modules": "lin0", **_SIZE}),
    ("MLP 2", "MLP", {"target_modules": ["lin0"], **_SIZE}),
    ("MLP 3", "MLP", {"target_modules": ["lin1"], **_SIZE}),
    ("MLP 4", "MLP", {"target_modules": ["lin0", "lin1"], **_SIZE}),
    ("MLP head", "MLP", {"target_modules": ["lin0"], "modules_to_save": ["lin1"], **_SIZE}),
    ("MLP dropout", "MLP", {"target_modules": ["lin0"], "dropout": 0.1, **_SIZE}),
    ("MLP factor", "MLP", {"target_modules": ["lin0", "lin1"], "reduction_factor": 0.5}),
    ("MLP pattern", "MLP", {"target_modules": ["lin0", "lin1"], "bottleneck_size_pattern": {"lin1": 3}, **_SIZE}),
    ("MLP learned", "MLP", {"target_modules": ["lin0", "lin1"], "scaling": "learned", **_SIZE}),
    ("MLP channel", "MLP", {"target_modules": ["lin0", "lin1"], "scaling": "channel", **_SIZE}),
    ("MLP no bias", "MLP", {"target_modules": ["lin0", "lin1"], "use_bias": False, **_SIZE}),
    ("MLP gelu", "MLP", {"target_modules": ["lin0"], "non_linearity": "gelu", "init_method": "houlsby", **_SIZE}),
    ("MLP2", "MLP2", {"target_modules": ["lin0", "lin1"], "reduction_factor": 1}),
    ("LayerNorm 1", "MLP_LayerNorm", {"target_modules": ["layernorm0"], **_SLOW}),
    ("LayerNorm 2", "MLP_LayerNorm", {"target_modules": ["layernorm1", "lin1"], **_SIZE}),
    # Their steps of 0.5 on inputs up to 90 blow up a product of three trained factors that is not scaled down.
    ("MLP phm", "MLP", {"target_modules": ["lin0", "lin1"], "phm_dim": 2, **_SIZE, "scaling": 0.02}),
    ("MLP norm before", "MLP", {"target_modules": ["lin0"], "ln_before": True, **_SLOW}),
    ("MLP norm after", "MLP", {"target_modules": ["lin0"], "ln_after": True, **_SIZE}),
    ("gated", "MLP_LayerNorm", {"target_modules": ["lin0", "lin1"], "bottleneck": "gated", **_SIZE}),
    ("transformers Conv1D", "EmbConv1D", {"target_modules": ["conv1d"], **_SLOW}),
    ("embedding", "EmbConv1D", {"target_modules": ["emb"], **_SLOW}),
    ("attention", "MHA", {"target_modules": ["mha"], **_SIZE}),
]

# (the case's name, fields of the first adapter, fields of the second)
_ON: Kwargs = {"init_weights": False, **_SIZE}
TWO_ADAPTERS: list[tuple[str, Kwargs, Kwargs]] = [
    ("same", {"target_modules": ["lin0"], **_ON}, {"target_modules": ["lin0"], **_ON}),
    ("different", {"target_modules": ["lin0"], **_ON}, {"target_modules": ["lin1"], **_ON}),
    ("sizes", {"target_modules": ["lin0"], **_ON}, {"target_modules": ["lin0"], **_ON, "bottleneck_size": 3}),
    ("scaling", {"target_modules": ["lin0"], **_ON}, {"target_modules": ["lin0"], **_ON, "scaling": "channel"}),
]

# --- the suites of transformers' models: the sites are those of the family ------------------------------------------

FAMILIES: list[tuple[str, type[PeftConfig], Kwargs]] = [
    ("houlsby", HoulsbyConfig, {}),
    ("houlsby-norms", HoulsbyConfig, {"train_layernorm": True, "reduction_factor": 8}),
    ("houlsby-channel", HoulsbyConfig, {"scaling": "channel", "reduction_factor": 4, "init_method": "houlsby"}),
    ("pfeiffer", PfeifferConfig, {"reduction_factor": 2}),
    ("pfeiffer-gated", PfeifferConfig, {"bottleneck": "gated", "bottleneck_size": 5, "scaling": "learned"}),
    ("pfeiffer-conv", PfeifferConfig, {"bottleneck": "conv", "bottleneck_size": 6}),
    ("pfeiffer-invertible", PfeifferConfig, {"reduction_factor": 2, "invertible": "nice"}),
    ("houlsby-compacter", HoulsbyConfig, {"bottleneck_size": 8, "phm_dim": 4, "ln_before": True, "ln_after": True}),
    ("pfeiffer-gating", PfeifferConfig, {"reduction_factor": 2, "scaling": "channel", "use_gating": True}),
    ("pfeiffer-depth", PfeifferConfig, {"reduction_factor": 2, "stochastic_depth": 0.1}),
    ("houlsby-glow", HoulsbyConfig, {"reduction_factor": 2, "invertible": "glow"}),
    (
        "parallel-phm",
        ParallelAdapterConfig,
        {"bottleneck_size": 8, "phm_dim": 2, "phm_rank": None, "shared_phm_weights": True, "ln_after": True},
    ),
    ("parallel-gating", ParallelAdapterConfig, {"use_gating": True, "ln_before": True, "scaling": "learned"}),
    ("parallel-foldable", ParallelAdapterConfig, {"foldable": True}),
    ("parallel-ffn", ParallelAdapterConfig, {}),
    ("parallel-residual", ParallelAdapterConfig, {"parallel_input": "residual", "non_linearity": "gelu"}),
]

# --- test_config ----------------------------------------------------------------------------------------------------

CONFIGS: list[tuple[str, type[PeftConfig], Kwargs]] = [
    *((SHORT[cls], cls, {}) for cls in TYPES),
    ("houlsby-pattern", HoulsbyConfig, {"bottleneck_size": 4, "bottleneck_size_pattern": {"out": 2}}),
    ("pfeiffer-regex", PfeifferConfig, {"target_modules": r".*\.out", "exclude_modules": "lm_head"}),
    ("parallel-channel", ParallelAdapterConfig, {"scaling": "channel", "bottleneck": "gated"}),
]

# --- test_torch_compile ---------------------------------------------------------------------------------------------

COMPILED: list[tuple[str, PeftConfig]] = [
    ("houlsby", HoulsbyConfig(task_type="CAUSAL_LM")),
    ("houlsby-modules-to-save", HoulsbyConfig(task_type="CAUSAL_LM", modules_to_save=["embed_tokens"])),
    ("pfeiffer-gated", PfeifferConfig(task_type="CAUSAL_LM", bottleneck="gated", scaling="channel")),
    ("parallel-ffn", ParallelAdapterConfig(task_type="CAUSAL_LM")),
    ("parallel-residual", ParallelAdapterConfig(task_type="CAUSAL_LM", parallel_input="residual")),
]


def quotes() -> DatasetDict:
    """In place of the hub's data set of English quotes, which only have to be some text here."""
    text = [f"{count} green bottles hanging on the wall, and if one should fall" for count in range(40, 0, -1)]
    columns = {"quote": text, "author": ["trad."] * len(text), "tags": [["song"]] * len(text)}
    return DatasetDict(train=Dataset.from_dict(columns))


# --- LoRA's place ---------------------------------------------------------------------------------------------------

_LORA_FIELDS = {"r": "bottleneck_size", "rank_pattern": "bottleneck_size_pattern", "init_lora_weights": "init_weights"}
_LORA_ALONE = ("lora_alpha", "alpha_pattern")


def like_lora(cls: type[PeftConfig], **lora: Any) -> PeftConfig:
    """One of ours that means what `LoraConfig(**lora)` means: same modules, size, start, and no biases.

    Raises:
        TypeError: a field that only LoRA has.
    """
    fields = {_LORA_FIELDS.get(name, name): value for name, value in lora.items() if name not in _LORA_ALONE}
    return cls(**{"bottleneck_size": 8, "use_bias": False, **fields})


def translated(cls: type[PeftConfig], config: LoraConfig) -> PeftConfig:
    """`like_lora` of a configuration that exists."""
    default = LoraConfig().to_dict()
    changed = {name: value for name, value in vars(config).items() if name in default and value != default[name]}
    changed = {name: list(value) if isinstance(value, set) else value for name, value in changed.items()}
    return like_lora(cls, **changed)
