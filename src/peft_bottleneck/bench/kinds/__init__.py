"""What a task can ask of a model: one file per kind, from examples to tensors and from outputs to metrics."""

from __future__ import annotations

from .base import Kind
from .classification import Classification

KINDS: dict[str, Kind] = {kind.name: kind for kind in (Classification(),)}

__all__ = ["KINDS", "Kind"]
