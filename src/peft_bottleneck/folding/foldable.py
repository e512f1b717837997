"""Folding of parallel adapters into the FFNs, as PEFT's `merge_adapter`, `unmerge_adapter` and `merge_and_unload`.

What is left is a plain transformers model whose FFNs are wider; `feed_forward` has the equation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..config import BottleneckConfig
from ..layer import BottleneckLayer
from ..model import BottleneckModel
from ..registration import check_adapters_to_merge
from ..sites.family import Family
from .feed_forward import FeedForward
from .probe import feed_forwards
from .widths import Widths


class FoldableLayer(BottleneckLayer):
    """A bottleneck beside an FFN; `FoldableModel` tells it which FFN before it merges."""

    ffn: FeedForward | None = None

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Folds the bottlenecks of these adapters (None: the active ones) into the FFN.

        Raises:
            ValueError: `safe_merge` and an adapter holds values that are not finite; or another tuner or transformers
                asks, while the widths of all FFNs must change together.
        """
        for name in check_adapters_to_merge(self, adapter_names):
            if name not in self.bottlenecks:
                continue
            maps = self.maps(name)
            values = (value for part in maps.values() for value in (part.weight, part.bias) if value is not None)
            if safe_merge and not all(bool(torch.isfinite(value).all()) for value in values):
                raise ValueError(f"NaNs detected in the merged weights. The adapter {name} seems to be broken")
            scale = self.bottlenecks[name].scale
            if self.ffn is None:
                raise ValueError(
                    f"The parallel adapter {name!r} cannot be folded layer by layer or by another tuner: all FFNs "
                    "and the configuration become wider together. Fold it first, by merge_adapter() or "
                    "merge_and_unload() of the model that get_peft_model(…, ParallelAdapterConfig(…)) returned."
                )
            self.ffn.widen(maps, self._part("scaling")[name].detach() if scale is None else scale)
            self.merged_adapters.append(name)

    def unmerge(self) -> None:
        """Takes the folded neurons away again; the FFN's weights are the ones from before, bit for bit."""
        if self.merged_adapters and self.ffn is not None:
            self.ffn.restore()
        self.merged_adapters = []


class FoldableModel(BottleneckModel):
    """A base model with adapters beside its FFNs."""

    def merge_adapter(self, adapter_names: list[str] | None = None, safe_merge: bool = False) -> None:
        """Folds adapters (None: the active ones) into the FFNs in place; `unmerge_adapter()` takes that back.

        Raises:
            ValueError: an adapter cannot be folded; says why and what to set. Nothing is changed then.
        """
        self._meet_ffns(list(self.active_adapters if adapter_names is None else adapter_names))
        super().merge_adapter(adapter_names=adapter_names, safe_merge=safe_merge)

    def _unload_and_optionally_merge(
        self, merge: bool = True, adapter_names: list[str] | None = None, **kwargs: Any
    ) -> nn.Module:
        if not merge:
            return super()._unload_and_optionally_merge(merge=False, **kwargs)
        names = list(self.active_adapters if adapter_names is None else adapter_names)
        family, ffns = self._meet_ffns(names)
        wanted: dict[str, int] = {}
        for layer in self._layers():
            added = [layer.maps(name)["down"].out_features for name in layer.bottlenecks if name in names]
            if added and layer.ffn is not None:
                wanted[layer.ffn.name] = layer.ffn.original_width + sum(added)
        widths = self._widths(family, ffns, wanted) if wanted else None
        model: nn.Module = super()._unload_and_optionally_merge(merge=True, adapter_names=adapter_names, **kwargs)
        if widths is not None:
            widths.even_out()
        return model

    def _prepare_adapter_config(self, config: BottleneckConfig, model_config: dict[str, object]) -> BottleneckConfig:
        config = super()._prepare_adapter_config(config, model_config)
        if getattr(config, "foldable", False):
            found = feed_forwards(self.model, self._family(config))
            ffns = {key: ffn for key, ffn in found.items() if self._check_target_module_exists(config, key)}
            if not ffns:
                raise ValueError(f"foldable=True: {type(self.model).__name__} has no FFN to fold an adapter into.")
            name, gated, biased = self._kind(ffns)
            config.non_linearity = name
            config.bottleneck = "gated" if gated else "plain"
            config.use_bias = biased
        return config

    def _kind(self, ffns: Mapping[str, FeedForward]) -> tuple[str, bool, bool]:
        """Activation of the FFNs, whether they are gated and whether they have biases."""
        problem = next((ffn.problem for ffn in ffns.values() if ffn.problem is not None), None)
        if problem is not None:
            raise ValueError(f"foldable=True: {problem}.")
        kinds = {(ffn.activation_name(), ffn.gated, ffn.biased): key for key, ffn in ffns.items()}
        (name, gated, biased), key = next(iter(kinds.items()))
        if len(kinds) > 1:
            examples = ", ".join(kinds.values())
            raise ValueError(
                f"foldable=True: {type(self.model).__name__} has FFNs of {len(kinds)} kinds ({examples}), and one "
                "configuration describes bottlenecks of one kind; exclude_modules leaves modules out."
            )
        if name is None:
            raise ValueError(f"foldable=True: the FFN's activation {ffns[key].phi} is none that has a name.")
        return name, gated, biased

    def _widths(self, family: Family, ffns: Iterable[FeedForward], wanted: Mapping[str, int]) -> Widths:
        """The numbers of the configuration that are widths, once it is sure that they can become the wanted ones."""
        widths = Widths(self.model, family, list(ffns))
        try:
            widths.check(wanted)
        except ValueError as error:
            raise ValueError(
                f"The adapters cannot be folded for good: {error}, so the model could not be loaded again. "
                "merge_adapter() folds them in place."
            ) from None
        return widths

    def _meet_ffns(self, names: Sequence[str]) -> tuple[Family, list[FeedForward]]:
        """Tells each layer its FFN, once nothing prevents folding these adapters into any of them."""
        family = self._family(self.peft_config[names[0] if names else next(iter(self.peft_config))])
        ffns = feed_forwards(self.model, family)
        layers = {key: module for key, module in self.model.named_modules() if isinstance(module, FoldableLayer)}
        ffns |= {key: layer.ffn for key, layer in layers.items() if layer.ffn is not None}  # remember what is folded
        for name in names:
            if self.peft_config[name].composition is not None:
                raise ValueError(f"Adapter {name!r} cannot be folded: it is made of other adapters.")
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
    for field in ("use_gating", "ln_before", "ln_after", "invertible"):
        if value := getattr(config, field):
            return f"no weights of the FFN compute {field}={value!r}; leave it out"
    return ffn.obstacle(config.bottleneck, config.non_linearity, layer.maps(name))
