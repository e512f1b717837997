"""What the two libraries call the same modules and parameters of one model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor
from transformers import PreTrainedModel

from ..config import BottleneckConfig
from ..coupling_layer import CouplingLayer
from ..layer import BottleneckLayer
from ..modules import feature_sizes
from ..phm import PhmLinear
from ..sites.families import COMPOSED, family_of
from ..sites.family import Family
from .layouts import (
    INVERTIBLE,
    LAYOUTS,
    NET_MAPS,
    NETS,
    NOT_CONVERTED,
    PARAMETERS,
    PHM_BIAS,
    PHM_RULE,
    PHM_SHARED_WEIGHTS,
    PHM_WEIGHTS,
    SHARED,
    Layout,
)

SITES = ("mh_adapter", "output_adapter", "cross_adapter")  # as the library's configurations call them


class Place(NamedTuple):
    """The place of one of our modules: its layer, its site, and the prefix of the library's parameters for it."""

    layer: str
    site: str
    key: str


class Layer(NamedTuple):
    """A layer's number in the library's configurations, and its width."""

    number: int
    width: int


@dataclass(frozen=True)
class Names:
    """The modules of a base model by both their names."""

    base: PreTrainedModel
    family: Family
    layout: Layout

    @classmethod
    def of(cls, base: PreTrainedModel) -> Names:
        """The names in this model.

        Raises:
            ValueError: the library has no such family, or none that can be converted.
        """
        model_type = _model_type(base)
        family = _model_type(base.encoder) if model_type == COMPOSED else model_type
        row = family_of(base)
        if row is None or family not in LAYOUTS:
            reason = NOT_CONVERTED.get(family) or f"only {', '.join(LAYOUTS)}, and {COMPOSED} of two of one type"
            raise ValueError(f"models of type {model_type!r} cannot be converted: {reason}")
        return cls(base, row, LAYOUTS[family])

    @property
    def composed(self) -> bool:
        """Whether the model is an encoder and a decoder that are models themselves."""
        return _model_type(self.base) == COMPOSED

    def layers(self) -> dict[str, Layer]:
        """The layers by their names, in the library's order.

        It counts on from the encoder to the decoder; where they are models of their own, each begins with 0.
        """
        found: dict[str, Layer] = {}
        counts: Counter[str] = Counter()
        for name, module in self.base.named_modules():
            place = self.place(name)
            if place is not None and place.site == "mh_adapter" and place.layer not in found:
                part = place.layer.partition(".")[0] if self.composed else ""
                found[place.layer] = Layer(counts[part], feature_sizes(module, None)[1])
                counts[part] += 1
        return found

    def modules(self) -> dict[str, str | None]:
        """The modules of our sites relative to a block, as regular expressions."""
        modules = dict(zip(SITES, (self.family.attention_output, self.family.ffn_output, None), strict=True))
        if self.layout.cross is not None:
            site = self.layout.cross_site
            modules[site] = _either(modules[site], self.layout.cross[0])
        return modules

    def norms(self) -> dict[str, str | None]:
        """The norms after our sites relative to a block, as regular expressions; None in pre-LN families."""
        norms = dict(zip(SITES, (self.layout.attention_norm, self.family.ffn_norm, None), strict=True))
        site = self.layout.cross_site
        norms[site] = _either(norms[site], self.layout.cross_norm) or None
        return norms

    def place(self, name: str) -> Place | None:
        """The place of a module, or None outside the blocks."""
        # A model with a head calls its blocks by longer names, and they are the same; two blocks of a composed one,
        # by their full names, are not.
        block = (
            rf"(?P<block>.*\.{self.family.block})" if self.composed else rf"(?:.*\.)?(?P<block>{self.family.block})"
        )
        match = re.fullmatch(rf"{block}\.(?P<module>.*)", name)
        if match is None:
            return None
        block, module = match["block"], match["module"]
        site, holder = "output_adapter", self.layout.output
        if re.fullmatch(_either(self.family.attention_output, self.layout.attention_norm), module):
            site, holder = "mh_adapter", self.layout.attention
        elif self.layout.cross and re.fullmatch(_either(self.layout.cross[0], self.layout.cross_norm), module):
            site, holder = self.layout.cross_site, self.layout.cross[1]
        renamed = self.renamed(block)
        layer = re.sub(f"{self.layout.part}$", "", block)
        return Place(layer, site, ".".join(filter(None, (renamed, holder, "adapters"))))

    def renamed(self, block: str) -> str:
        """The library's name of a block or a layer."""
        ours, theirs = self.layout.renamed
        return theirs + block.removeprefix(ours) if block.startswith(ours) else block

    def sites(self, adapter_name: str) -> dict[str, BottleneckLayer]:
        """The modules that an adapter is in."""
        return {
            name: module
            for name, module in self.base.named_modules()
            if isinstance(module, BottleneckLayer) and adapter_name in getattr(module, f"{module.prefix}down")
        }

    def parameters(self, adapter_name: str, config: BottleneckConfig) -> Iterator[tuple[str, Tensor]]:
        """An adapter's parameters by the library's names, without what leads to a block and the adapter's own name."""
        for name, layer in self.sites(adapter_name).items():
            place = self.place(name)
            if place is not None:
                for key, parameter in _of_bottleneck(layer, adapter_name, config):
                    yield (key if key.startswith(SHARED) else f"{place.key}.{key}"), parameter
        for module in self.base.modules():
            if isinstance(module, CouplingLayer) and adapter_name in module.couplings:
                for name, part in module.parts(adapter_name).items():
                    net, _, which = name.partition("_")
                    key = f"{INVERTIBLE}.{NETS[module.couplings[adapter_name].kind][net]}.{NET_MAPS[which]}"
                    yield from ((f"{key}.{own}", parameter) for own, parameter in part.named_parameters())

    def written(self, key: str, adapter_name: str) -> str:
        """The name that the library gives a parameter, which `parameters` calls `key`, of an adapter of this name."""
        holder = ".".join(filter(None, ("encoder" if self.composed else "", self.layout.holds_invertible)))
        key = re.sub(r"^(.*adapters|shared_parameters)\.", rf"\1.{adapter_name}.", key)
        return f"{holder}.{key}" if holder and key.startswith(INVERTIBLE) else key


def _of_bottleneck(
    layer: BottleneckLayer, adapter_name: str, config: BottleneckConfig
) -> Iterator[tuple[str, Tensor]]:
    """One bottleneck's parameters; what all bottlenecks share comes with the map that keeps it."""
    parts = layer.parts(adapter_name)
    first = int("norm_before" in parts)
    for part, module in parts.items():
        if isinstance(module, PhmLinear):
            place = f"adapter_down.{first}" if part == "down" else "adapter_up"
            for key, parameter in _of_map(part, module, config):
                yield (key if key.startswith(SHARED) else f"{place}.{key}"), parameter
            continue
        for own, parameter in module.named_parameters():
            for theirs in PARAMETERS[f"{part}.{own}"]:
                yield theirs.format(first), parameter
    scaling = getattr(layer, f"{layer.prefix}scaling")
    if adapter_name in scaling:
        yield PARAMETERS["scaling"][0], scaling[adapter_name]


def _of_map(part: str, module: PhmLinear, config: BottleneckConfig) -> Iterator[tuple[str, Tensor]]:
    if module.bias is not None:
        yield PHM_BIAS, module.bias
    for name, parameter in module.own("rule").items():
        yield (f"{SHARED}." * config.shared_phm_rule) + PHM_RULE[name], parameter
    for name, parameter in module.own("matrices").items():
        shared = f"{SHARED}.{PHM_SHARED_WEIGHTS[name].format(part)}"
        yield (shared if config.shared_phm_weights else PHM_WEIGHTS[name]), parameter


def _either(*expressions: str | None) -> str:
    """A regular expression for what one of them matches."""
    return "|".join(filter(None, expressions))


def _model_type(model: PreTrainedModel) -> str:
    return str(getattr(getattr(model, "config", None), "model_type", None))
