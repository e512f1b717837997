"""What the two libraries call the same modules and parameters of one model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from ..layer import BottleneckLayer
from ..sites import Family, family_of
from ..structure import feature_sizes
from .layouts import LAYOUTS, PARAMETERS, Layout

SITES = ("mh_adapter", "output_adapter", "cross_adapter")  # as the library's configurations call them


class Place(NamedTuple):
    """Where one of our modules lies: in which layer, as which site, and how the library's parameters for it begin."""

    layer: str
    site: str
    key: str


@dataclass(frozen=True)
class Names:
    """The modules of a base model by both their names."""

    base: Any
    family: Family
    layout: Layout

    @classmethod
    def of(cls, base: Any) -> Names:
        """The names in this model.

        Raises:
            ValueError: the library has no such family, or none that can be converted.
        """
        model_type = str(getattr(getattr(base, "config", None), "model_type", None))
        family = family_of(base)
        if family is None or model_type not in LAYOUTS:
            raise ValueError(f"models of type {model_type!r} cannot be converted, only {', '.join(LAYOUTS)}")
        return cls(base, family, LAYOUTS[model_type])

    def layers(self) -> dict[str, int]:
        """The layers' names and widths, in the library's order, which counts on from the encoder to the decoder."""
        places = ((self.place(name), module) for name, module in self.base.named_modules())
        return {
            place.layer: feature_sizes(module, None)[1]
            for place, module in places
            if place is not None and place.site == "mh_adapter"
        }

    def modules(self) -> dict[str, str | None]:
        """The modules of our sites relative to a block, as regular expressions."""
        cross = self.layout.cross[0] if self.layout.cross else None
        return dict(zip(SITES, (self.family.attention_output, self.family.ffn_output, cross), strict=True))

    def place(self, name: str) -> Place | None:
        """The place of a module, or None if it lies in no block."""
        match = re.fullmatch(rf"(?:.*\.)?(?P<block>{self.family.block})\.(?P<module>.*)", name)
        if match is None:
            return None
        block, module = match["block"], match["module"]
        site, holder = "output_adapter", self.layout.output
        if re.fullmatch(self.family.attention_output, module):
            site, holder = "mh_adapter", self.layout.attention
        elif self.layout.cross is not None and re.fullmatch(self.layout.cross[0], module):
            site, holder = "cross_adapter", self.layout.cross[1]
        ours, theirs = self.layout.renamed
        renamed = theirs + block.removeprefix(ours) if block.startswith(ours) else block
        layer = re.sub(f"{self.layout.part}$", "", block)
        return Place(layer, site, ".".join(filter(None, (renamed, holder, "adapters"))))

    def sites(self, adapter_name: str) -> dict[str, BottleneckLayer]:
        """The modules that an adapter is in."""
        return {
            name: module
            for name, module in self.base.named_modules()
            if isinstance(module, BottleneckLayer) and adapter_name in getattr(module, f"{module.prefix}down")
        }

    def parameters(self, adapter_name: str) -> Iterator[tuple[str, Tensor]]:
        """An adapter's parameters by the library's names, without what leads to a block and the adapter's own name."""
        for name, layer in self.sites(adapter_name).items():
            place = self.place(name)
            own = dict(layer.named_parameters())
            for ours, theirs in PARAMETERS.items():
                parameter = own.get(layer.prefix + ours.format(adapter_name))
                if place is not None and parameter is not None:
                    yield f"{place.key}.{theirs}", parameter
