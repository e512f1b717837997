"""Bottlenecks beside adapters of other kinds on one model: `get_peft_model(model, config, mixed=True)`.

PEFT's mixed model handles a closed list of its own tuners. The class here takes its place: it hands the configurations
of bottlenecks to their tuners, and everything else to PEFT's.
"""

from __future__ import annotations

from typing import Any

import peft.mixed_model
from peft.mapping import (
    PEFT_TYPE_TO_MIXED_MODEL_MAPPING,
    PEFT_TYPE_TO_PREFIX_MAPPING,
    PEFT_TYPE_TO_TUNER_MAPPING,
)
from peft.tuners import mixed
from peft.tuners.mixed import model as peft_mixed
from torch import nn

from .config import BottleneckConfig
from .layer import BottleneckLayer
from .model import BottleneckModel
from .registration import BaseTuner, PeftType

_ADDED_LATER = "base_model.model."  # the prefix of names where PEFT adds a second adapter


class MixedModel(peft_mixed.MixedModel):  # type: ignore[misc]
    """PEFT's mixed model, which takes bottlenecks too."""

    def forward(self, *args: object, **kwargs: object) -> Any:
        if kwargs.get("adapter_names") is not None:
            raise ValueError("A mixed model takes no adapter_names: its adapters apply to the whole batch.")
        return self.model(*args, **kwargs)

    def _check_new_adapter_config(self, config: object) -> None:
        if not isinstance(config, BottleneckConfig):
            super()._check_new_adapter_config(config)
        elif config.composition is not None:
            raise ValueError(
                f"A mixed model takes no {type(config.composition).__name__}: compose adapters of one method without "
                "mixed=True."
            )
        else:
            BaseTuner._check_new_adapter_config(self, config)

    def _prepare_adapter_config(self, config: object, model_config: dict[str, object]) -> object:
        if isinstance(config, BottleneckConfig):
            return self._tuner(config)._prepare_adapter_config(config, model_config)
        return super()._prepare_adapter_config(config, model_config)

    def _check_target_module_exists(self, config: object, key: str) -> object:
        if isinstance(config, BottleneckConfig):
            return self._tuner(config)._check_target_module_exists(config, key.removeprefix(_ADDED_LATER))
        return super()._check_target_module_exists(config, key)

    def _create_and_replace(
        self,
        config: object,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        **kwargs: object,
    ) -> None:
        if isinstance(config, BottleneckConfig):
            key = current_key.removeprefix(_ADDED_LATER)
            self._tuner(config)._create_and_replace(config, adapter_name, target, target_name, parent, key)
        else:
            super()._create_and_replace(config, adapter_name, target, target_name, parent, current_key, **kwargs)

    def _replace_module(self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module) -> None:
        if isinstance(child, BottleneckLayer):  # PEFT reads the weight of the wrapped module, and an FFN has none
            setattr(parent, child_name, new_module)
        else:
            super()._replace_module(parent, child_name, new_module, child)

    def set_adapter(self, adapter_name: str | list[str], inference_mode: bool = False) -> None:
        super().set_adapter(adapter_name, inference_mode=inference_mode)
        for module in self.model.modules():
            if isinstance(module, BottleneckLayer):
                module.set_adapter(adapter_name, inference_mode=inference_mode)

    def _unload_and_optionally_merge(self, merge: bool = True, **kwargs: object) -> nn.Module:
        layers = [module for module in self.model.modules() if isinstance(module, BottleneckLayer)]
        if merge and layers:
            raise ValueError(
                "A mixed model with bottlenecks cannot be merged: no weights of the base model compute what they do. "
                "unload() removes all adapters."
            )
        model: nn.Module = super()._unload_and_optionally_merge(merge=merge, **kwargs)
        for layer in layers:
            layer.release()
        return model

    def _tuner(self, config: BottleneckConfig) -> BottleneckModel:
        """The tuner of a configuration's method, on this model."""
        tuner_class: type[BottleneckModel] = PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type]
        tuner = tuner_class.__new__(tuner_class)
        nn.Module.__init__(tuner)
        tuner.model, tuner.peft_config, tuner.active_adapter = self.model, self.peft_config, self.active_adapter
        return tuner


def install(*methods: type[BottleneckConfig]) -> None:
    """Lets `mixed=True` take these methods; a second call changes nothing."""
    types = [PeftType(method.peft_type_name) for method in methods]
    mixed.COMPATIBLE_TUNER_TYPES = tuple(dict.fromkeys((*mixed.COMPATIBLE_TUNER_TYPES, *types)))
    for peft_type in types:
        PEFT_TYPE_TO_MIXED_MODEL_MAPPING[peft_type] = MixedModel
        prefix = PEFT_TYPE_TO_PREFIX_MAPPING[peft_type]
        if prefix not in peft_mixed.PREFIXES:
            peft_mixed.PREFIXES.append(prefix)
    peft.mixed_model.MixedModel = MixedModel
