"""The entries of `methods` in a run configuration: a method, its options, and its own settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from ..file_names import RESERVED
from ..models.options import check_method, method_names, method_options
from ..saved.initial import read_initial
from .choices import MethodChoice
from .findings import Findings
from .keys import place_of
from .search_entries import read_space
from .training_checks import check_training, training_fields

METHOD_KEYS = ("method", "label", "training", "search")  # beside the method's own options
# The letters of the equations in labels, where they are shorter than the option's name.
SHORT = {"bottleneck_size": "r", "lora_alpha": "alpha", "num_virtual_tokens": "tokens"}


def read_method(entry: object, findings: Findings, training: Mapping[str, object]) -> MethodChoice | None:
    """The method that `entry` asks for; None where it is wrong, with the reason in `findings`.

    Args:
        training: the fields that hold for all methods.
    """
    if isinstance(entry, str):
        entry = {"method": entry}
    try:
        entry, initial = read_initial(entry)
        if not isinstance(entry, dict) or not isinstance(entry.get("method"), str):
            findings.wrong(f"methods: expected a name or {{method: NAME, option: value}}, found {entry!r}")
            return None
        name = entry["method"]
        options = {str(key): value for key, value in entry.items() if key not in METHOD_KEYS}
        known = method_options(name) if name in method_names() else options
        misplaced = {key: place for key in options if key not in known and (place := place_of(key, methods=False))}
        for key, place in misplaced.items():
            findings.wrong(f"method '{name}': '{key}' is none of its options: {place}")
        check_method(name, {key: value for key, value in options.items() if key not in misplaced})
    except UserError as error:
        for message in error.messages:
            findings.wrong(message)
        return None
    label = default_label(name, options) if entry.get("label") is None else entry["label"]
    findings.label(f"methods: {name}: label", label)
    return MethodChoice(
        name=name,
        label=str(label),
        options=options,
        training=read_training(entry.get("training"), f"methods: {name}: training", findings, training),
        space=read_space(entry.get("search", {}), f"methods: {name}: search", findings, name),
        initial=initial,
    )


def read_training(content: Any, key: str, findings: Findings, below: Mapping[str, Any]) -> dict[str, Any]:
    """The `training:` section in `content`, whose key is `key`, checked together with the fields `below`."""
    if content is None or not findings.typed(key, content, dict, "fields of TrainingArguments"):
        return {}
    known = training_fields()
    misplaced = {field: place for field in content if field not in known and (place := place_of(str(field)))}
    for field, place in misplaced.items():
        findings.wrong(f"{key}.{field}: is no field of training: {place}")
    for message in check_training({field: value for field, value in content.items() if field not in misplaced}, below):
        findings.wrong(f"{key}.{message}")
    return dict(content)


def default_label(name: str, options: Mapping[str, object]) -> str:
    """A readable name of a method with `options`, which can name a folder.

    >>> default_label("houlsby", {"bottleneck_size": 24, "non_linearity": "gelu", "bottleneck": "gated"})
    'houlsby r=24 gelu gated'
    """
    words = " ".join([name, *(_option_words(SHORT.get(key, key), value) for key, value in options.items())])
    return "".join("_" if letter in RESERVED or not letter.isprintable() else letter for letter in words).rstrip(". ")


def _option_words(key: str, value: object) -> str:
    if isinstance(value, bool):
        return key if value else f"no {key}"
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        value = [f"{inner}-{part}" for inner, part in value.items()]
    return f"{key}={'+'.join(map(str, value)) if isinstance(value, list) else value}"
