"""The configurations of AdapterHub's flexible heads, and which of them a model of transformers computes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from transformers import PreTrainedModel

from .head_layouts import AUTO_CLASSES, LANGUAGE_MODELS, LAYOUTS, HeadLayout

# The fields of a flexible head's configuration that decide what it computes, with the library's defaults.
_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {"layers": 1, "activation_function": None, "layer_norm": False, "use_pooler": False, "bias": True}
)
_POOLED = ("classification", "multilabel_classification", "image_classification", "multiple_choice")
_OF_THE_HEAD = ("pooler_hidden_act", "summary_activation")  # fields of a model that only its head reads
_SAME_ACTIVATIONS = {"swish": "silu", "gelu_pytorch_tanh": "gelu_new"}


class NoCounterpart(ValueError):
    """A head that no module of the model at hand computes; the message says why."""


def layout_of(kind: str, config: Mapping[str, object], base: PreTrainedModel) -> HeadLayout:
    """The layout by which this model computes a flexible head of this configuration.

    Raises:
        NoCounterpart: it computes another head, or none.
    """
    own, family = type(base).__name__, base.config.model_type
    layouts = [row for row in LAYOUTS if family in row.families and kind in row.kinds]
    if not layouts:
        raise NoCounterpart(f"{AUTO_CLASSES[kind]} has no {kind} head for {family}")
    fitting = [row for row in layouts if own.endswith(row.classes)]
    if not fitting:
        raise NoCounterpart(f"the model is {own}; load it as {AUTO_CLASSES[kind]}")
    problems = []
    for row in fitting:
        given, computed = _decisive(kind, config), _decisive(kind, flexible_config(row, base))
        if given == computed:
            return row
        different = [key for key in _DEFAULTS if given.get(key) != computed.get(key)]
        problem = ", ".join(f"{key}={given.get(key)!r}, not {computed.get(key)!r}" for key in different)
        field = (row.activation or "").removeprefix("config.")
        if different == ["activation_function"] and field in _OF_THE_HEAD:
            problem += f"; load the model with {field}={given['activation_function']!r}"
        problems.append(problem)
    raise NoCounterpart(f"{own} computes another one: {'; or '.join(problems)}")


def _decisive(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that decide on the computation of a head, in one notation."""
    fields = {key: config.get(key, default) for key, default in _DEFAULTS.items()}
    name = fields["activation_function"]
    fields["activation_function"] = _SAME_ACTIVATIONS.get(name, name)
    if fields["layers"] == 1:
        del fields["activation_function"], fields["layer_norm"]
    elif kind not in LANGUAGE_MODELS:
        del fields["layer_norm"]
    if kind not in _POOLED:
        del fields["use_pooler"]
    if kind not in LANGUAGE_MODELS and (kind not in _POOLED or kind == "multiple_choice"):
        del fields["bias"]
    return fields


def flexible_config(row: HeadLayout, base: PreTrainedModel) -> dict[str, object]:
    """The configuration that the library gives to a head like this model's."""
    model, kind = base.config, row.kinds[0]
    multilabel = getattr(model, "problem_type", None) == "multi_label_classification"
    if row.kinds == ("classification", "multilabel_classification") and multilabel:
        kind = row.kinds[1]
    if row.kinds == ("masked_lm", "causal_lm") and not type(base).__name__.endswith("MaskedLM"):
        kind = row.kinds[1]
    activation = row.activation
    if activation is not None and activation.startswith("config."):
        activation = getattr(model, activation.removeprefix("config."))
    config: dict[str, object] = {"head_type": kind, "layers": row.layers, "activation_function": activation}
    if kind in LANGUAGE_MODELS:
        config |= {"layer_norm": row.norm, "bias": row.bias, "shift_labels": kind == "causal_lm"}
        return config | {"vocab_size": model.vocab_size, "label2id": None}
    config["dropout_prob"] = None
    if kind == "multiple_choice":
        choices = {"num_choices": model.num_labels, "label2id": dict(model.label2id)}
        return config | {"use_pooler": row.use_pooler} | choices
    config |= {"num_labels": model.num_labels, "label2id": dict(model.label2id)}
    if kind == "image_classification":
        config["multilabel"] = multilabel
    return config | ({"use_pooler": row.use_pooler, "bias": row.bias} if kind in _POOLED else {})


def positions(config: Mapping[str, Any]) -> list[int]:
    """The places of a flexible head's maps and norms in its row.

    Each map comes after a dropout, except in a language model, and an activation and perhaps a norm come after it.
    """
    language, layers = config["head_type"] in LANGUAGE_MODELS, config.get("layers", 1)
    found, place = [], 0
    for layer in range(layers):
        place += not language
        found.append(place)
        place += 1
        if layer < layers - 1:
            place += bool(config.get("activation_function"))
            if language and config.get("layer_norm"):
                found.append(place)
                place += 1
    return found
