"""Where a configuration keeps the widths of the FFNs, and whether a model built from it takes what folding writes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig

from ..modules import base_modules
from ..sites.family import Family
from .feed_forward import FeedForward

Shapes = dict[str, tuple[int, ...]]
_MORE = 8  # some classes take widths that eight divides only


class Widths:
    """The numbers of a model's configuration that are widths of FFNs, each with the FFNs that share it.

    Raises:
        ValueError: the width of an FFN that folding widens is no number of the configuration.
    """

    def __init__(self, model: nn.Module, family: Family, ffns: Sequence[FeedForward]) -> None:
        self.model = model
        self.names = {module: name for name, module in base_modules(model)}
        self.groups = dict(self._rows(family, ffns)) if family.ffn_size else self._searched(ffns)

    def _rows(self, family: Family, ffns: Sequence[FeedForward]) -> Iterator[tuple[str, list[FeedForward]]]:
        """The numbers that the family's row names, by a part of the block's name."""
        left = list(ffns)
        for part, path in family.ffn_size.items():
            yield path, [ffn for ffn in left if part in ffn.name]
            left = [ffn for ffn in left if part not in ffn.name]

    def _searched(self, ffns: Sequence[FeedForward]) -> dict[str, list[FeedForward]]:
        """Every number that equals a width is changed; the FFNs whose shapes change with it are its own.

        Of several such numbers the one that changes fewer other modules is theirs.
        """
        config = self.model.config
        before = (_built(self.model, config) if isinstance(config, PretrainedConfig) else None) or {}
        own = {
            f"{self.names[linear]}.{part}" for ffn in ffns for linear in ffn.shapes(1) for part in ("weight", "bias")
        }
        found: list[tuple[int, str, list[FeedForward]]] = []
        for path, value in _numbers(config) if before else ():
            if any(value == ffn.original_width for ffn in ffns):
                after = _built(self.model, _changed(config, {path: value + _MORE}))
                changed = {name for name, shape in (after or {}).items() if shape != before.get(name)}
                moved = [ffn for ffn in ffns if f"{self.names[ffn.output]}.weight" in changed]
                if moved:
                    found.append((len(changed - own), path, moved))
        groups: dict[str, list[FeedForward]] = {}
        left = list(ffns)
        for _, path, moved in sorted(found, key=lambda item: item[0]):
            groups[path] = [ffn for ffn in moved if ffn in left]
            left = [ffn for ffn in left if ffn not in moved]
        return {path: group for path, group in groups.items() if group}

    def check(self, widths: Mapping[str, int]) -> None:
        """Whether a model can be built whose FFNs have these widths, by the block's name; the others keep theirs.

        Raises:
            ValueError: the configuration has no such number, or a model built from it has other shapes; says which.
        """
        who = type(self.model.config).__name__ if hasattr(self.model, "config") else type(self.model).__name__
        kept = {ffn.name: path for path, group in self.groups.items() for ffn in group}
        for name in widths:
            if name not in kept:
                raise ValueError(f"{who} does not keep the width of the FFN of {name}")
        numbers: dict[str, int] = {}
        expected: Shapes = {}
        for path, group in self.groups.items():
            value = _value(self.model.config, path)
            if any(ffn.name in widths for ffn in group):
                if value not in (None, group[0].original_width):
                    raise ValueError(f"{who} does not keep the width of the FFN of {group[0].name}")
                numbers[path] = max(widths.get(ffn.name, ffn.original_width) for ffn in group)
                for ffn in group:
                    for module, shapes in ffn.shapes(numbers[path]).items():
                        expected |= {f"{self.names[module]}.{part}": shape for part, shape in shapes.items()}
        built = _built(self.model, _changed(self.model.config, numbers))
        if built is None:
            raise ValueError(f"no {type(self.model).__name__} can be built with {_said(numbers)}")
        for name, module in base_modules(self.model):
            for part, parameter in module._parameters.items():
                key = f"{name}.{part}".lstrip(".")
                shape = expected.get(key, None if parameter is None else tuple(parameter.shape))
                if key in built and shape is not None and built[key] != shape:
                    raise ValueError(
                        f"{type(self.model).__name__} built with {_said(numbers)} has {key} of shape {built[key]}, "
                        f"and folding leaves it {shape}"
                    )

    def even_out(self) -> None:
        """Gives all FFNs that share a number the same width, and changes the number."""
        for path, group in self.groups.items():
            width = max((ffn.width for ffn in group), default=0)
            if any(ffn.width != ffn.original_width for ffn in group):
                for ffn in group:
                    if ffn.width < width:
                        ffn.widen(None, neurons=width - ffn.width)
                _set(self.model.config, path, width)


def _said(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{path}={number}" for path, number in numbers.items())


def _built(model: nn.Module, config: PretrainedConfig) -> Shapes | None:
    """The shapes of the parameters of a model of this class, built from this configuration; None if none can be."""
    try:
        with torch.device("meta"):
            built = type(model)(config)
    except Exception:  # a number that the class refuses, or a class that takes more than a configuration
        return None
    return {name: tuple(parameter.shape) for name, parameter in built.named_parameters(remove_duplicate=False)}


def _numbers(config: PretrainedConfig, path: str = "") -> Iterator[tuple[str, int]]:
    """The integers of a configuration and of its parts, with their paths."""
    for name, value in vars(config).items():
        if isinstance(value, PretrainedConfig):
            yield from _numbers(value, f"{path}{name}.")
        elif isinstance(value, int) and not isinstance(value, bool):
            yield path + name, value


def _changed(config: PretrainedConfig, numbers: Mapping[str, int]) -> Any:
    changed = copy.deepcopy(config)
    for path, number in numbers.items():
        _set(changed, path, number)
    return changed


def _value(config: PretrainedConfig, path: str) -> Any:
    for name in path.split("."):
        config = getattr(config, name, None)
    return config


def _set(config: PretrainedConfig, path: str, number: int) -> None:
    *owners, name = path.split(".")
    for owner in owners:
        config = getattr(config, owner)
    setattr(config, name, number)
