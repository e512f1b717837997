"""Calls of a model's skeleton with guessed inputs: the whole, the models in it, and single blocks."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..modules import is_norm
from .dummy_inputs import inputs_of_block, inputs_of_model
from .skeleton import META, ShapesOnly


def call_blocks(
    root: nn.Module, blocks: Mapping[str, nn.Module], mode: ShapesOnly, reached: Callable[[], Container[str]]
) -> dict[str, str]:
    """Calls a skeleton with guessed inputs until its blocks are reached: the whole, the models in it, single blocks.

    Returns:
        why single blocks cannot be called.
    """
    modules = dict(root.named_modules())
    reasons: dict[str, str] = {}

    def missing(below: str = "") -> list[str]:
        return [name for name in blocks if name not in reached() and name.startswith(below and below + ".")]

    for name, module in modules.items():
        if missing(name) and hasattr(module, "main_input_name"):
            for inputs in inputs_of_model(module):
                call_quietly(mode, module, inputs)
    for name in missing():
        width = _width(blocks[name])
        for inputs in inputs_of_block(blocks[name], width, _configuration(name, modules)) if width else ():
            reason = call_quietly(mode, blocks[name], inputs)
            if not reason:
                break
            reasons.setdefault(name, reason)
    return reasons


def call_quietly(mode: ShapesOnly, module: nn.Module, inputs: dict[str, object]) -> str:
    """Calls a module; gives the reason if that fails, which guessed inputs may. What was reached is recorded."""
    inputs = {name: _on_meta(value) for name, value in inputs.items()}
    try:
        with torch.no_grad(), mode:
            module(**inputs)
    except Exception as error:
        return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
    return ""


def _on_meta(value: object) -> object:
    if isinstance(value, tuple):
        return tuple(map(_on_meta, value))
    return value.to(META) if isinstance(value, Tensor) and value.is_floating_point() else value


@contextmanager
def quietly() -> Iterator[None]:
    """Calls on guessed inputs warn of what is no concern of the user's, and may draw random numbers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _configuration(name: str, modules: Mapping[str, nn.Module]) -> object:
    """That of the innermost model around a block."""
    while name:
        name = name.rpartition(".")[0]
        if hasattr(modules[name], "main_input_name"):
            return getattr(modules[name], "config", None)
    return None


def _width(block: nn.Module) -> int | None:
    """Channels of a block, as the norm that is least deep in it has them: heads may have norms of their own."""
    norms = [(name.count("."), module) for name, module in block.named_modules() if is_norm(module)]
    weights: list[Any] = [getattr(module, "weight", None) for _, module in sorted(norms, key=lambda norm: norm[0])]
    return next((int(weight.shape[0]) for weight in weights if weight is not None), None)
