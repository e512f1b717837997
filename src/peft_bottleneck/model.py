"""The tuner model: finds the sites of a method in a base model and wraps their modules."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

from torch import nn
from transformers import PretrainedConfig

from .composition import Average, Composition, Fusion, free, require
from .config import BottleneckConfig, as_list
from .convolution import context_of
from .coupling_layer import CouplingLayer
from .embeddings import end_of_embeddings
from .fusion_training import FusionTraining
from .layer import BottleneckLayer, Placement
from .mixed_batch import mixed_batch
from .modules import feature_sizes
from .placement import after, beside
from .quantization import mend_quantised_layers
from .registration import (
    BaseTuner,
    BaseTunerLayer,
    check_target_module_exists,
)
from .sites.family import Family, Site
from .sites.structure import find_family, tell_sites
from .tuner_layer import TunerLayer
from .weighted_sum import add_weighted_sum


class BottleneckModel(BaseTuner):  # type: ignore[misc]
    """A base model with bottleneck adapters; `HoulsbyModel`, `PfeifferModel` and `ParallelAdapterModel` are its kinds.

    A method says in `site` where its bottlenecks sit in a family, and in `placement` how they are composed there.
    """

    tuner_layer_cls = TunerLayer
    bottleneck_layer_cls: type[BottleneckLayer]
    fusion_training: FusionTraining | None = None
    target_module_mapping: ClassVar[dict[str, list[str]]] = {}  # `families.FAMILIES` takes its place

    @classmethod
    @abstractmethod
    def site(cls, family: Family, config: BottleneckConfig) -> Site:
        """Where this method sits in a family."""

    @classmethod
    def placement(cls, module: nn.Module, config: BottleneckConfig) -> Placement:
        """How a bottleneck is composed with this module."""
        return after

    def forward(self, *args: object, **kwargs: object) -> Any:
        # PEFT 0.18 calls `self.model.forward`, without the hooks through which a convolution gets the model's inputs.
        return self.model(*args, **kwargs)

    def _prepare_adapter_config(self, config: BottleneckConfig, model_config: dict[str, object]) -> BottleneckConfig:
        if not config.inference_mode:
            mend_quantised_layers(self.model)
        require(config.composition, self.peft_config)
        if config.target_modules is None:
            family = self._family(config)
            tell_sites(self.model, family, None if config.layers_pattern else config.layers_to_transform)
            for name, value in vars(self.site(family, config)).items():
                if value is not None:
                    setattr(config, name, value)
        if config.invertible is not None:
            config.invertible_modules = end_of_embeddings(self.model, config.invertible_modules)
        return config

    def _family(self, config: BottleneckConfig) -> Family:
        excluded = config.exclude_modules
        return find_family(self.model, excluded if isinstance(excluded, str) else None)

    def _add_modules_to_save_to_tie(self, peft_config: BottleneckConfig, tied_weight_keys: Iterable[str]) -> None:
        """`ensure_weight_tying`: the input embeddings are trained, and modules tied to them share their weight."""
        tied = set(tied_weight_keys)
        embeddings = self.model.get_input_embeddings()
        name = next(name for name, module in self.model.named_modules() if module is embeddings)
        kept = {given for given in peft_config.modules_to_save or () if not _names_any(given, tied | {name})}
        peft_config.modules_to_save = sorted({*kept, name})
        peft_config.modules_to_tie = tied

    @staticmethod
    def _check_target_module_exists(config: BottleneckConfig, key: str) -> object:
        if _couples(config, key):
            return True
        found = check_target_module_exists(config, key)
        if found and isinstance(config.target_modules, str) and config.layers_to_transform is not None:
            return _block_index(config, key) in as_list(config.layers_to_transform)
        return found

    def _create_and_replace(
        self,
        config: BottleneckConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
    ) -> None:
        if isinstance(config.composition, (Average, Fusion)):
            if isinstance(target, self.bottleneck_layer_cls):
                self._compose(config.composition, adapter_name, target, inference_mode=config.inference_mode)
            return
        layer: TunerLayer
        if _couples(config, current_key):
            layer = self._coupling_layer(target, target_name, parent)
            layer.update_layer(adapter_name, config)
        else:
            layer = self._add_bottleneck(config, adapter_name, target, target_name, parent, current_key)
        if adapter_name not in self.active_adapters:
            layer.set_requires_grad(adapter_name, False)

    def _coupling_layer(self, target: nn.Module, target_name: str, parent: nn.Module) -> CouplingLayer:
        """The layer at the end of the embeddings."""
        if isinstance(target, CouplingLayer):
            return target
        layer = CouplingLayer(target, self.prefix, self.model)
        self._replace_module(parent, target_name, layer, target)
        return layer

    def _add_bottleneck(
        self,
        config: BottleneckConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
    ) -> BottleneckLayer:
        tap = self._related(config, "input_modules", current_key)
        block = self._related(config, "output_modules", current_key)
        base = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
        if len(list(base.modules())) > 1 and _lies_on_disk(self.model):
            raise ValueError(
                "Parts of the base model are on disk, by its device_map. PEFT loads an adapter onto such a model only "
                f"where the adapter wraps single layers, and this one wraps all of {current_key}: use 'cpu' in the "
                "device_map instead of 'disk'."
            )
        hidden_size = _hidden_size(self.model)
        reads, writes = feature_sizes(base, hidden_size)
        placement = self.placement(base, config)
        if tap is not None:
            reads = feature_sizes(tap[1][0], hidden_size)[0]
        elif placement is not beside:
            reads = writes
        written = None if block is None else block[1][0]
        layer = target
        if not isinstance(layer, self.bottleneck_layer_cls):
            layer = self.bottleneck_layer_cls(target, (reads, writes), placement, written)
            self._replace_module(parent, target_name, layer, target)
        elif (layer.placement, layer.block, layer.in_features) != (placement, written, reads):
            raise ValueError(
                f"Adapter {adapter_name!r} would be composed with {current_key} otherwise than the adapters that are "
                f"there: {placement.__name__!r}, not {layer.placement.__name__!r}, or with another input or output "
                "module. Adapters of one model must agree in target_modules, input_modules and output_modules there."
            )
        context = context_of(self.model, current_key) if config.bottleneck == "conv" else None
        first = next((other.maps(adapter_name) for other in self._layers() if other.holds(adapter_name)), None)
        layer.update_layer(adapter_name, config.size_for(current_key, layer.in_features), config, tap, context, first)
        summands = self._related(config, "summand_modules", current_key)
        if summands is not None:
            layer.split(*summands[1])
        return layer

    def _compose(
        self, composition: Composition, adapter_name: str, layer: BottleneckLayer, *, inference_mode: bool
    ) -> None:
        layer.compose(adapter_name, composition, inference_mode=inference_mode)
        if adapter_name not in self.active_adapters:
            layer.set_requires_grad(adapter_name, False)
        if self.fusion_training is None:
            self.fusion_training = FusionTraining(self.model)

    def delete_adapter(self, adapter_name: str) -> None:
        """Deletes an adapter.

        Raises:
            ValueError: another one is made of it.
        """
        free(self.peft_config, adapter_name)
        super().delete_adapter(adapter_name)

    def add_weighted_adapter(self, adapters: Sequence[str], weights: Sequence[float], adapter_name: str) -> None:
        """Adds the adapter whose parameters are the weighted sum of those of others: `θ = Σ wᵢ·θᵢ`.

        A module that one of them trains in full (`modules_to_save`) is taken over as it is.

        Raises:
            ValueError: an adapter is unknown, the numbers of adapters and weights differ, the adapters differ in what
                must agree for a sum of parameters to have a meaning (the modules, the sizes, the equation), or several
                of them train the same module in full.
        """
        add_weighted_sum(self, adapters, weights, adapter_name)

    def _related(self, config: BottleneckConfig, template: str, key: str) -> tuple[str, list[nn.Module]] | None:
        """The modules that `input_modules` (or another field) names for this target, and their names."""
        value = getattr(config, template, None)
        if value is None:
            return None
        match = re.fullmatch(str(config.target_modules), key)
        name = match.expand(value) if match else value
        if not name:  # a group without a match: the template does not apply to this module
            return None
        try:
            return name, [self.model.get_submodule(part) for part in name.split("+")]
        except AttributeError:
            message = f"{type(config).__name__}: {template}={value!r} means {name!r}, which the model lacks"
            raise ValueError(message) from None

    def _replace_module(self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module) -> None:
        # PEFT's own copies `weight` to the new module, which a block or an FFN does not have.
        setattr(parent, child_name, new_module)

    def merge_adapter(self, adapter_names: list[str] | None = None, safe_merge: bool = False) -> None:
        """Merges adapters (None: the active ones) into the base model in place; `unmerge_adapter()` undoes it.

        Raises:
            NotImplementedError: an adapter cannot be merged; says why and what to set. Nothing is changed then.
        """
        self._check_merge(adapter_names)
        super().merge_adapter(adapter_names=adapter_names, safe_merge=safe_merge)

    def _check_merge(self, adapter_names: Iterable[str] | None) -> None:
        names = list(self.active_adapters if adapter_names is None else adapter_names)
        for key, layer in self.model.named_modules():
            for name in names if isinstance(layer, self.tuner_layer_cls) else ():
                if layer.holds(name) and (problem := layer.merge_problem(name)) is not None:
                    method = type(self).__name__.removesuffix("Model")
                    raise NotImplementedError(
                        f"{method} adapters cannot be merged: {problem} (adapter {name!r}, {key})."
                    )

    def _unload_and_optionally_merge(
        self, merge: bool = True, adapter_names: list[str] | None = None, **kwargs: object
    ) -> nn.Module:
        layers = [module for module in self.model.modules() if isinstance(module, TunerLayer)]
        if merge:
            self._check_merge(adapter_names)
        else:
            for layer in layers:
                layer.unmerge()
        kwargs["adapter_names"] = adapter_names
        model: nn.Module = super()._unload_and_optionally_merge(merge=merge, **kwargs)
        for layer in layers:
            layer.release()
        if self.fusion_training is not None:
            self.fusion_training.remove()
        return model

    @contextmanager
    def _enable_peft_forward_hooks(self, *args: object, **kwargs: Any) -> Iterator[None]:
        """While a call with `adapter_names=[…]` runs, each row of the batch has its own adapter."""
        names = kwargs.get("adapter_names")
        with nullcontext() if names is None else mixed_batch(self.model, names, args, kwargs):
            yield

    def _layers(self) -> Iterator[BottleneckLayer]:
        return (module for module in self.model.modules() if isinstance(module, self.bottleneck_layer_cls))


def _names_any(given: str, keys: Iterable[str]) -> bool:
    """Whether the last parts of one of these module names are `given`, as `modules_to_save` is matched."""
    return any(f".{key}".endswith(f".{given}") for key in keys)


def _lies_on_disk(model: nn.Module) -> bool:
    """Whether PEFT is loading an adapter onto a model that Accelerate keeps on disk in part.

    PEFT then renames the weights in their files, and looks for those inside a wrapped module by their old names.
    """
    places = (getattr(model, "hf_device_map", None) or {}).values()
    return "disk" in places and not any(hasattr(module, "_hf_hook") for module in model.modules())


def _hidden_size(model: nn.Module) -> int | None:
    """Of the language model, where there are several."""
    config: PretrainedConfig = getattr(model, "config", None)
    text_config = config.get_text_config() if hasattr(config, "get_text_config") else config
    return getattr(text_config, "hidden_size", None)


def _couples(config: BottleneckConfig, key: str) -> bool:
    """Whether an invertible adapter maps the output of this module."""
    return config.invertible is not None and re.fullmatch(str(config.invertible_modules), key) is not None


def _block_index(config: BottleneckConfig, key: str) -> int | None:
    """The number of the block that holds a module: the first in its name, or the one after `layers_pattern`."""
    for pattern in as_list(config.layers_pattern) if config.layers_pattern else [r"[^.]+"]:
        if match := re.match(rf"(?:.*?\.)?(?:{pattern})\.(\d+)(?:\.|$)", key):
            return int(match.group(1))
    return None
