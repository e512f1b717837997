"""States of a model for the length of a block of code."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode; afterwards each module in the mode that it was in."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def replaced_forwards(by: Mapping[nn.Module, Callable[..., object]]) -> Iterator[None]:
    """Other functions in the place of some modules' `forward`, hooks left as they are."""
    before = {module: vars(module).get("forward") for module in by}
    for module, function in by.items():
        vars(module)["forward"] = function
    try:
        yield
    finally:
        for module, forward in before.items():
            if forward is None:
                del vars(module)["forward"]
            else:
                vars(module)["forward"] = forward


@contextmanager
def without_cache(config: Any) -> Iterator[None]:
    """A configuration that asks for no cache of keys and values: the frozen blocks would not be in it."""
    uses_cache = getattr(config, "use_cache", None)
    if uses_cache:
        config.use_cache = False
    try:
        yield
    finally:
        if uses_cache:
            config.use_cache = uses_cache


class Reached(Exception):
    """The frozen blocks have computed their output; what comes after them is not needed."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.hidden = hidden


class Replaced:
    """Another function in the place of a module's method, with the method's signature."""

    def __init__(self, by: Callable[..., object], method: Callable[..., object], own: Any) -> None:
        functools.update_wrapper(self, method, updated=())
        self.by = by
        self.method = method
        self.own = own  # what was in the module's own attributes before

    def __call__(self, *args: object, **kwargs: object) -> object:
        return self.by(self.method, args, kwargs)

    def restore(self, module: nn.Module, name: str) -> None:
        if self.own is None:
            del vars(module)[name]
        else:
            vars(module)[name] = self.own
