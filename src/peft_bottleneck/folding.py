"""Folding of parallel adapters into the FFNs, as PEFT's `merge_adapter`, `unmerge_adapter` and `merge_and_unload`.

What is left is a plain transformers model whose FFNs are wider; `feed_forward` has the equation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from .config import BottleneckConfig
from .feed_forward import FeedForward, feed_forwards, size_attribute, size_part, widen_evenly
from .layer import BottleneckLayer
from .model import BottleneckModel
from .registration import check_adapters_to_merge
from .sites import Family, family_of
from .structure import family_from_structure


class FoldableLayer(BottleneckLayer):
    """A bottleneck beside an FFN; `FoldableModel` tells it which FFN before it merges."""

    ffn: FeedForward | None = None

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Folds the bottlenecks of these adapters (None: the active ones) into the FFN.

        Raises:
            ValueError: `safe_merge` and an adapter holds values that are not finite.
        """
        for name in check_adapters_to_merge(self, adapter_names):
            if name not in self.bottlenecks:
                continue
            maps = self.maps(name)
            finite = all(
                bool(torch.isfinite(weight).all()) for linear in maps.values() for weight in linear.parameters()
            )
            if safe_merge and not finite:
                raise ValueError(f"NaNs detected in the merged weights. The adapter {name} seems to be broken")
            scale = self.bottlenecks[name].scale
            assert self.ffn is not None  # FoldableModel sees to it
            self.ffn.widen(maps, self._part("scaling")[name].detach() if scale is None else scale)
            self.merged_adapters.append(name)

    def unmerge(self) -> None:
        """Takes the folded neurons away again; the FFN's weights are the ones from before, bit for bit."""
        if self.merged_adapters and self.ffn is not None:
            self.ffn.restore()
        self.merged_adapters = []

    def enable_adapters(self, enabled: bool) -> None:
        """Disabled adapters must not be in the base model's weights either."""
        if not enabled:
            self.unmerge()
        super().enable_adapters(enabled)


class FoldableModel(BottleneckModel):
    """A base model with adapters beside its FFNs."""

    def merge_adapter(self, adapter_names: list[str] | None = None, safe_merge: bool = False) -> None:
        """Folds adapters (None: the active ones) into the FFNs in place; `unmerge_adapter()` takes that back.

        Raises:
            ValueError: an adapter cannot be folded; says why and what to set. Nothing is changed then.
        """
        self._meet_ffns(adapter_names)
        super().merge_adapter(adapter_names=adapter_names, safe_merge=safe_merge)

    def _unload_and_optionally_merge(
        self, merge: bool = True, adapter_names: list[str] | None = None, **kwargs: Any
    ) -> nn.Module:
        if not merge:
            for layer in self._layers():
                layer.unmerge()
            return super()._unload_and_optionally_merge(merge=False, **kwargs)
        family, ffns = self._meet_ffns(adapter_names)
        if family is not None:
            for ffn in ffns:
                _check_size(self.model, family, ffn)
        model: nn.Module = super()._unload_and_optionally_merge(merge=True, adapter_names=adapter_names, **kwargs)
        if family is not None:
            widen_evenly(model, family, ffns)
        return model

    def _prepare_adapter_config(self, config: BottleneckConfig, model_config: dict[str, Any]) -> BottleneckConfig:
        config = super()._prepare_adapter_config(config, model_config)
        if getattr(config, "foldable", False):
            _, ffns = self._ffns()
            if not ffns:
                raise ValueError(f"foldable=True: {type(self.model).__name__} has no FFN to fold an adapter into.")
            name, gated, biased = self._kind(ffns)
            config.non_linearity = name
            config.bottleneck = "gated" if gated else "plain"
            config.use_bias = biased
        return config

    def _kind(self, ffns: Mapping[str, FeedForward]) -> tuple[str, bool, bool]:
        """Activation of the FFNs, whether they are gated and whether they have biases."""
        kinds = {(ffn.activation_name(), ffn.gated, ffn.biased): key for key, ffn in ffns.items()}
        (name, gated, biased), key = next(iter(kinds.items()))
        if len(kinds) > 1:
            examples = ", ".join(kinds.values())
            raise ValueError(
                f"foldable=True: {type(self.model).__name__} has FFNs of {len(kinds)} kinds ({examples}), and one "
                "configuration describes bottlenecks of one kind."
            )
        if name is None:
            raise ValueError(f"foldable=True: the FFN's activation {ffns[key].phi} is none that has a name.")
        return name, gated, biased

    def _ffns(self) -> tuple[Family | None, dict[str, FeedForward]]:
        """The FFNs of the model by the name of the module that an adapter wraps there."""
        family = family_of(self.model) or family_from_structure(self.model)
        return family, {} if family is None else feed_forwards(self.model, family)

    def _meet_ffns(self, adapter_names: Iterable[str] | None) -> tuple[Family | None, list[FeedForward]]:
        """Tells each layer its FFN, once nothing stands in the way for any of them."""
        family, ffns = self._ffns()
        names = list(self.active_adapters if adapter_names is None else adapter_names)
        layers = {key: module for key, module in self.model.named_modules() if isinstance(module, FoldableLayer)}
        ffns |= {key: layer.ffn for key, layer in layers.items() if layer.ffn is not None}  # remember what is folded
        for key, layer in layers.items():
            for name in names:
                if name in layer.bottlenecks and name not in layer.merged_adapters:
                    problem = _obstacle(layer, name, self.peft_config[name], ffns.get(key), key)
                    if problem:
                        raise ValueError(f"Adapter {name!r} cannot be folded: {problem}.")
        for key, layer in layers.items():
            layer.ffn = ffns.get(key)
        return family, list(ffns.values())


def _obstacle(
    layer: FoldableLayer, name: str, config: BottleneckConfig, ffn: FeedForward | None, key: str
) -> str | None:
    if ffn is None:
        return f"{key} is not the FFN of a transformer block; leave target_modules=None"
    if layer.bottlenecks[name].read not in (None, ffn.input_name):
        return f"it reads {layer.bottlenecks[name].read}, not the FFN's input; set parallel_input='ffn'"
    return ffn.obstacle(config.bottleneck, config.non_linearity, layer.maps(name))


def _check_size(model: nn.Module, family: Family, ffn: FeedForward) -> None:
    """A configuration that does not keep this FFN's width cannot describe the folded model."""
    part = size_part(family, ffn.name)
    if part is not None:
        owner, attribute = size_attribute(model.config, family, part)
        if getattr(owner, attribute, 0) in (None, ffn.original_width):
            return
    raise ValueError(
        f"The adapters cannot be folded for good: {type(model.config).__name__} does not keep the width of the FFN of "
        f"{ffn.name}, so a wider one could not be loaded again. merge_adapter() folds them in place."
    )
