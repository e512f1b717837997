"""Runs that differ in nothing but their seed."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..configuration.training_options import score_relevant
from ..records import Record


def variant_key(record: Record) -> str:
    """What two runs of one method share if they differ in seed alone."""
    return json.dumps([record.method, _settings(record)], sort_keys=True)


def labels(variants: Sequence[Record]) -> list[str]:
    """The method of each variant; where several share one, with the settings that tell them apart."""
    settings = [dict(_flat(_settings(record))) for record in variants]
    by_method: dict[str, list[dict[str, str]]] = defaultdict(list)
    for record, own in zip(variants, settings, strict=True):
        by_method[record.method].append(own)
    return [
        _label(record.method, own, by_method[record.method]) for record, own in zip(variants, settings, strict=True)
    ]


def _label(method: str, own: Mapping[str, str], namesakes: Sequence[Mapping[str, str]]) -> str:
    names = sorted({name for other in namesakes for name in other})
    telling = [name for name in names if len({other.get(name) for other in namesakes}) > 1]
    told = ", ".join(f"{name.rpartition('.')[2]} {own.get(name, 'unset')}" for name in telling)
    return f"{method} ({told})" if told else method


def _settings(record: Record) -> dict[str, Any]:
    """The configuration without the seed and without what decides only speed."""
    settings = {key: value for key, value in record.configuration.items() if key != "seed"}
    training = settings.get("training")
    if isinstance(training, Mapping):
        settings["training"] = score_relevant(training)
    return settings


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and their values as text."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)
