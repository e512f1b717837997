"""Where the embeddings of a model end, how many channels they have, and where the output embeddings are."""

from __future__ import annotations

import re
from collections.abc import Callable

from torch import nn
from transformers import PreTrainedModel

from .modules import base_modules, feature_sizes, is_norm
from .registration import BaseTunerLayer, ModulesToSaveWrapper
from .sites.families import family_of


def end_of_embeddings(model: PreTrainedModel, pattern: str | None) -> str:
    """A regular expression of the module whose output is the embeddings'.

    Args:
        model: the whole model.
        pattern: the expression, if there is one; None takes the family's row, or the token embeddings.

    Raises:
        ValueError: no module of the model matches, or several do.
    """
    names = [name for name, _ in base_modules(model)]
    if pattern is None:
        family = family_of(model)
        embeddings = _token_embeddings(model)
        if family is not None and family.embeddings:
            patterns = [rf"(?:.*\.)?{name}" for name in family.embeddings]
            pattern = next((one for one in patterns if any(re.fullmatch(one, name) for name in names)), patterns[0])
        elif embeddings is not None:
            root = getattr(model, "base_model", model)  # without the head, so that the name holds for any head
            own = next(name for name, module in base_modules(root) if module is embeddings)
            pattern = rf"(?:.*\.)?{re.escape(own)}"
        else:
            raise ValueError(f"{type(model).__name__} has no token embeddings; set invertible_modules.")
    found = [name for name in names if re.fullmatch(pattern, name)]
    if len(found) != 1:
        raise ValueError(
            f"invertible_modules={pattern!r} must match one module of {type(model).__name__}, got "
            f"{', '.join(found) or 'none'}"
        )
    return pattern


def channels(model: PreTrainedModel, module: nn.Module) -> int:
    """The channels of the output of a module at the end of the embeddings."""
    inner = [child for _, child in base_modules(module)]
    for child in (*filter(is_norm, reversed(inner)), module, *inner):
        if is_norm(child) or isinstance(child, nn.Embedding):
            return feature_sizes(child, None)[1]
    embeddings = _token_embeddings(model)
    return int(getattr(embeddings, "embedding_dim", None) or model.config.hidden_size)


def output_embeddings(model: PreTrainedModel) -> list[nn.Module]:
    """The module that writes a score for each token, with the copies of it that PEFT keeps; empty if there is none."""
    get: Callable[[], nn.Module | None] | None = getattr(model, "get_output_embeddings", None)
    output = None if get is None else get()
    if output is None:
        return []
    for wrapper in model.modules():
        if isinstance(wrapper, ModulesToSaveWrapper):
            versions = [wrapper.original_module, *wrapper.modules_to_save.values()]
            if wrapper is output:
                return versions
            for version in versions:
                for name, module in version.named_modules():
                    if module is output:
                        return [other.get_submodule(name) for other in versions]
    return [output]


def _token_embeddings(model: PreTrainedModel) -> nn.Module | None:
    """The module without PEFT's wrappers; None if the model names none."""
    try:
        embeddings: nn.Module | None = model.get_input_embeddings()
    except (AttributeError, NotImplementedError):  # no model of transformers, or one of several models
        return None
    while isinstance(embeddings, BaseTunerLayer):
        embeddings = embeddings.base_layer
    return embeddings
