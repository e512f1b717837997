"""Training from the weights that an earlier run saved, on other data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import PreTrainedModel

from ..errors import UserError
from ..kinds import Context, Kind
from ..models.trainable import head_modules, make_trainable
from ..records import remote
from .parameters import copy_parameters
from .saved import Saved

KEY = "init_adapter"


def read_initial(entry: object) -> tuple[object, Saved | None]:
    """An entry of `methods`, its `init_adapter` replaced by the saved method and options.

    Raises:
        UserError: no run saved that folder, or the entry asks for another method or other options.
    """
    if not isinstance(entry, dict) or KEY not in entry:
        return entry, None
    folder = entry[KEY]
    if not isinstance(folder, str):
        raise UserError(f"methods: {KEY}: expected a folder or an address, found {folder!r}")
    saved = Saved.read(folder)
    method = saved.content.method
    if entry.get("method", method) != method:
        raise UserError(f"methods: {KEY}: {folder} was trained by '{method}', not by '{entry['method']}'")
    if method == "untuned":
        raise UserError(f"methods: {KEY}: {folder} is of an untuned model: nothing was trained")
    if other := [key for key in entry if key not in (KEY, "method", "label", "training", "search")]:
        raise UserError(f"methods: {KEY}: '{other[0]}' is taken from {folder} and cannot be given")
    own = {key: value for key, value in entry.items() if key != KEY}
    return {"label": f"{method}-continued", **saved.content.options, **own, "method": method}, saved


def identity(saved: Saved) -> dict[str, Any]:
    """The identity of the initial weights in a run's configuration."""
    return {KEY: {"sha256": saved.sha256, "task": saved.content.task, "kind": saved.content.kind}}


def keeps_head(saved: Saved, kind: Kind, context: Context) -> bool:
    """Whether the head was trained for the same kind with the same labels, in the same order."""
    before = saved.content
    return (before.kind, before.labels, before.markers) == (
        kind.name,
        context.labels,
        context.markers,
    )


def check_initial(saved: Saved, method: str, options: Mapping[str, object], kind: Kind, context: Context) -> None:
    """Refuses saved weights that training cannot start from.

    Raises:
        UserError: they were trained on another base, or do not fit.
    """
    if not saved.is_base(context.model):
        raise UserError(
            f"{saved.place} was trained on {saved.content.model_name}, whose weights are not those of "
            f"'{context.model.name}'"
        )
    check_weights(saved, method, options, kind, context)


def check_weights(saved: Saved, method: str, options: Mapping[str, object], kind: Kind, context: Context) -> None:
    """Tries the saved weights on the model's architecture, by names and shapes, without reading either.

    Raises:
        UserError: they do not fit.
    """
    with torch.device("meta"):
        skeleton = kind.skeleton(context)
        model = make_trainable(skeleton, method, options, kind.task_type(context.model.config))
        if not hasattr(model, "prompt_encoder"):  # PEFT computes the names of a prefix; it fits wherever its base does
            _fitting(model, saved, kind, context)


def load_initial(model: PreTrainedModel, saved: Saved, kind: Kind, context: Context) -> None:
    """Copies the weights in `saved` into a model that is ready to train; the head too, if `keeps_head`."""
    names = _fitting(model, saved, kind, context)
    weights = {name: tensor for name, tensor in load_file(saved.weights).items() if name in names}
    if saved.by_peft:
        set_peft_model_state_dict(model, {**_trained(model, saved), **weights})  # which wants the head in any case
        return
    copy_parameters(model, weights)


def _fitting(model: PreTrainedModel, saved: Saved, kind: Kind, context: Context) -> set[str]:
    """The names of the saved weights that `model` takes.

    Raises:
        UserError: beside the heads, one side has a weight that the other lacks, or has in another shape, or as whole
            numbers where the other has fractions.
    """
    with safe_open(saved.weights, framework="pt") as file:
        types = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
        there = {name: list(file.get_slice(name).get_shape()) for name in types}
    tensors = _trained(model, saved)
    own = {name: list(tensor.shape) for name, tensor in tensors.items()}
    keep = keeps_head(saved, kind, context)
    if not keep:
        base = model.get_base_model() if saved.by_peft else model
        with torch.device("meta"):
            before = head_modules(saved.kind.skeleton(saved.context(context.model)))
        own = _without(own, head_modules(base), saved)
        there = _without(there, before, saved)
    for name in sorted(own.keys() | there.keys()):
        if own.get(name) != there.get(name):
            raise UserError(
                f"{saved.place} does not fit {kind.name} on models of type '{context.model.config.model_type}': "
                f"'{name}' has {there.get(name, 'no')} values there, {own.get(name, 'no')} here"
            )
        if types[name].startswith(("F", "BF")) != tensors[name].is_floating_point():
            raise UserError(f"{remote.shown(saved.weights)}: damaged: '{name}' is of type {types[name]}")
    return set(own)


def _trained(model: PreTrainedModel, saved: Saved) -> Mapping[str, torch.Tensor]:
    """The weights that the method trains, under the names in which a run saves them."""
    if saved.by_peft:
        weights: Mapping[str, torch.Tensor] = get_peft_model_state_dict(model, save_embedding_layers=False)
        return weights
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _without(names: Mapping[str, Any], heads: Iterable[str], saved: Saved) -> dict[str, Any]:
    start = "base_model.model." if saved.by_peft else ""
    prefixes = tuple(f"{start}{head}." for head in heads)
    return {name: value for name, value in names.items() if not name.startswith(prefixes)}
