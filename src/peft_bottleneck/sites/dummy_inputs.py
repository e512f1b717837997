"""Inputs with which a model, a part of one, or one block can be called, guessed from names and configurations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

SIDE = 4  # of a grid of patches
TOKENS = SIDE * SIDE
Inputs = dict[str, object]
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
# What is given first where a model takes it, and what is given as well where that does not reach all blocks.
_FIRST = ("input_ids", "decoder_input_ids", "bbox")
_THEN = ("pixel_values", "input_features", "image_grid_thw", "aspect_ratio_ids", "aspect_ratio_mask")


def inputs_of_model(model: nn.Module) -> Iterator[Inputs]:
    """Guesses, the likeliest first, of what a pretrained model takes: its main input, and what has no default."""
    config: PretrainedConfig = getattr(model, "config", None)
    main = getattr(model, "main_input_name", None)
    if config is None or main is None:
        return
    parameters = inspect.signature(model.forward).parameters
    named = {*_FIRST, *([main] if isinstance(main, str) else main)}
    named |= {name for name, parameter in parameters.items() if _has_no_default(parameter)}
    patches = {"hidden_states": _patches, "pixel_values": _patches} if "grid_thw" in parameters else {}
    tried: list[set[str]] = []
    for wanted in (named & parameters.keys(), (named | {*_THEN}) & parameters.keys()):
        if wanted in tried:
            return
        tried.append(wanted)
        for makers in _GUESSES:
            made = {name: (patches.get(name) or makers[name])(config) for name in wanted if name in makers}
            if made:
                yield made


def _has_no_default(parameter: inspect.Parameter) -> bool:
    return parameter.default is inspect.Parameter.empty and parameter.kind not in _VARIADIC


def _first(config: PretrainedConfig, *names: str, default: int) -> int:
    """The first of these that the configuration has, as one number."""
    for name in names:
        value = getattr(config, name, None)
        if isinstance(value, dict):
            value = value.get("height", next(iter(value.values()), None))
        if isinstance(value, (list, tuple)):
            value = value[0] if value else None
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return default


def _ids(config: PretrainedConfig) -> Tensor:
    """Tokens that are no padding, which is 0, 1 or 2 in most vocabularies, and has embeddings of zeros."""
    return torch.full((1, TOKENS), 3)


def _mask(config: PretrainedConfig) -> Tensor:
    return torch.ones(1, TOKENS, dtype=torch.long)


def _pixels(config: PretrainedConfig) -> Tensor:
    config = _of_images(config)
    size = _first(config, "image_size", "input_size", "img_size", "crop_size", default=224)
    return torch.zeros(1, _first(config, "num_channels", "in_channels", "in_chans", default=3), size, size)


def _of_images(config: PretrainedConfig) -> PretrainedConfig:
    """The part of a configuration that describes images, where it has one."""
    parts = (getattr(config, name, None) for name in ("vision_config", "backbone_config"))
    return next((part for part in parts if getattr(part, "image_size", None) is not None), config)


def _video(config: PretrainedConfig) -> Tensor:
    return _pixels(config)[:, None].expand(-1, _first(config, "num_frames", default=8), -1, -1, -1)


def _patches(config: PretrainedConfig) -> Tensor:
    """One image of `SIDE` by `SIDE` patches, each flattened."""
    channels, size = (
        _first(config, "in_channels", "in_chans", "num_channels", default=3),
        _first(config, "patch_size", default=14),
    )
    return torch.zeros(TOKENS, channels * _first(config, "temporal_patch_size", default=1) * size * size)


def _grid(config: PretrainedConfig) -> Tensor:
    return torch.tensor([[1, SIDE, SIDE]])


def _waveform(config: PretrainedConfig) -> Tensor:
    return torch.zeros(1, 16_000)


def _mel(config: PretrainedConfig) -> Tensor:
    """`[1, mel bins, frames]`, as Whisper reads it."""
    frames = 2 * _first(config, "max_source_positions", default=1500)
    return torch.zeros(1, _first(config, "num_mel_bins", "input_feat_per_channel", default=80), frames)


def _frames(config: PretrainedConfig) -> Tensor:
    """`[1, frames, features]`, as speech models on precomputed features read it."""
    names = ("feature_projection_input_dim", "input_feat_per_channel", "num_mel_bins", "input_dim", "input_channels")
    return torch.zeros(1, 64, _first(config, *names, default=80))


def _spectrogram(config: PretrainedConfig) -> Tensor:
    return torch.zeros(
        1, _first(config, "max_length", "spec_size", default=1024), _first(config, "num_mel_bins", default=128)
    )


def _hidden(config: PretrainedConfig) -> Tensor:
    return torch.zeros(1, TOKENS, _first(config, "hidden_size", "d_model", "n_embd", default=32))


_COMMON: Mapping[str, Callable[[object], object]] = {
    "input_ids": _ids,
    "qformer_input_ids": _ids,
    "decoder_input_ids": _ids,
    "attention_mask": _mask,
    "position_ids": lambda config: torch.arange(TOKENS)[None],
    "pixel_values": _pixels,
    "pixel_values_videos": _video,
    "input_values": _waveform,
    "input_features": _mel,
    "inputs_embeds": _hidden,
    "hidden_states": _hidden,
    "encoder_hidden_states": lambda config: torch.zeros(
        1,
        TOKENS,
        _first(config, "encoder_hidden_size", "cross_attention_hidden_size", "hidden_size", "d_model", default=32),
    ),
    "query_embeds": _hidden,
    "grid_thw": _grid,
    "image_grid_thw": _grid,
    "bbox": lambda config: torch.zeros(1, TOKENS, 4, dtype=torch.long),
    "aspect_ratio_ids": lambda config: torch.ones(1, 1, dtype=torch.long),
    "aspect_ratio_mask": lambda config: torch.ones(1, 1, _first(config, "max_num_tiles", default=4), dtype=torch.long),
}
_GUESSES: tuple[Mapping[str, Callable[[object], object]], ...] = (
    _COMMON,
    {**_COMMON, "input_features": _frames, "input_values": _spectrogram, "pixel_values": _video},
)


def inputs_of_block(block: nn.Module, width: int, config: PretrainedConfig) -> Iterator[Inputs]:
    """Guesses of what one block takes: hidden states `[…, tokens, width]`, and what has no default."""
    parameters = inspect.signature(block.forward).parameters
    first = next(iter(parameters))
    required = [name for name, parameter in parameters.items() if name != first and _has_no_default(parameter)]
    packed = "cu_seqlens" in parameters  # the sequences of a batch one after the other
    heads = max(1, _first(config, "num_attention_heads", "num_heads", "attention_heads", default=1))
    head = _first(config, "head_dim", "d_kv", default=width // heads)
    for shape in ((TOKENS,) if packed else (1, TOKENS), (1, SIDE, SIDE)):
        hidden = torch.zeros(*shape, width)
        for size in dict.fromkeys((head, head // 2)):
            angles = torch.zeros(*shape, size)
            known = {
                "position_embeddings": (angles, angles),
                "rotary_pos_emb": torch.zeros(TOKENS, head // 2),
                "position_ids": torch.arange(TOKENS)[None],
                "cu_seqlens": torch.tensor([0, TOKENS], dtype=torch.int32),
                "max_seqlen": TOKENS,
                "input_dimensions": (SIDE, SIDE),
                "query_length": TOKENS,
                **{name: hidden for name in required if name.endswith("_states")},
            }
            yield {
                first: hidden,
                **dict.fromkeys(required),
                **{name: value for name, value in known.items() if name in parameters},
            }
