"""Whether a token's output depends on later tokens, found by trying."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

import torch
import transformers
from transformers import PretrainedConfig

from ..models.base_model import BaseModel

LENGTH = 8
MOST_PARAMETERS = 300_000_000  # of a model that is tried at its own size
SHARE = 1e-4  # share of the change at the last token; an earlier token that changes more sees it
# Sizes of a smaller model of the same architecture, under the names that configurations have for them.
_SMALLER = {
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers", "encoder_layers"), 2),
    **dict.fromkeys(("num_decoder_layers", "num_experts", "num_local_experts"), 2),
    "vocab_size": 64,
}

_known: dict[tuple[str, str], bool] = {}


def sees_later_tokens(model: BaseModel, auto_class: str) -> bool:
    """Whether the outputs at earlier tokens change when the last one does.

    Runs a random model of the architecture twice, on inputs that differ in the last token alone. A large model gets
    two layers and few words; an encoder–decoder is tried by its decoder. A model that cannot be tried passes.
    """
    key = (model.path, auto_class)
    if key not in _known:
        _known[key] = any(_try(model, config, auto_class) for config in _configs(model, auto_class)[:1])
    return _known[key]


def _configs(model: BaseModel, auto_class: str) -> list[Any]:
    """The configuration of a model of a size that can be tried; empty if there is none."""
    smaller = copy.deepcopy(model.config)
    for name, value in _SMALLER.items():
        if isinstance(getattr(smaller, name, None), int) and getattr(smaller, name) > value:
            _set(smaller, name, value)
    if isinstance(getattr(smaller, "layer_types", None), list):
        _set(smaller, "layer_types", smaller.layer_types[:2])
    for name in ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"):
        if isinstance(getattr(smaller, name, None), int) and getattr(smaller, name) >= 64:
            _set(smaller, name, 0)
    found = []
    for config in (model.config, smaller):
        try:
            with torch.device("meta"):
                made = getattr(transformers, auto_class).from_config(copy.deepcopy(config))
        except Exception:  # a configuration that does not take the smaller sizes
            continue
        if sum(parameter.numel() for parameter in made.parameters()) <= MOST_PARAMETERS:
            found.append(config)
    return found


def _set(config: PretrainedConfig, name: str, value: object) -> None:
    with suppress(AttributeError):  # some names are computed from others
        setattr(config, name, value)


def _try(model: BaseModel, config: PretrainedConfig, auto_class: str) -> bool:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tried = getattr(transformers, auto_class).from_config(copy.deepcopy(config)).float().eval()
        with torch.no_grad():
            for parameter in tried.parameters():
                if parameter.dim() > 1:
                    parameter.normal_(std=0.1)  # fresh weights may be zero, and then pass nothing on
    most = min(getattr(config.get_text_config(), "vocab_size", 64), 64)
    first = torch.arange(LENGTH).unsqueeze(0) % (most - 8) + 4
    other = first.clone()
    other[0, -1] = most - 1
    encoder_decoder = config.is_encoder_decoder
    try:
        with torch.no_grad():
            if encoder_decoder:
                runs = [tried(input_ids=first, decoder_input_ids=ids).logits for ids in (first, other)]
            else:
                runs = [tried(input_ids=ids).logits for ids in (first, other)]
    except Exception:  # the run itself reports what it needs
        return False
    change = (runs[0] - runs[1]).abs().amax(-1)[0]
    return bool(change[:-1].max() > SHARE * change[-1])
