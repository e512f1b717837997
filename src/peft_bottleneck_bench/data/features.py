"""Names for numbers, where the features of a `datasets` data set have them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def named(feature: object, value: Any) -> Any:
    """`value`, with the numbers of a `ClassLabel` feature (or of a list of them) replaced by their names.

    GLUE and others mark withheld labels with -1; those become None, which no kind accepts.
    """
    if isinstance(value, list) and hasattr(feature, "feature"):
        return [named(feature.feature, item) for item in value]
    if isinstance(value, int) and hasattr(feature, "int2str"):
        return feature.int2str(value) if value >= 0 else None
    return value


def features_of(schema: pa.Schema) -> Mapping[str, object]:
    """The features that `datasets` keeps in an Arrow schema; none where another program wrote it."""
    metadata = schema.metadata or {}
    if b"huggingface" not in metadata:
        return {}
    import datasets

    try:
        features: Mapping[str, object] = datasets.Features.from_arrow_schema(schema)
    except (KeyError, ValueError, TypeError, json.JSONDecodeError):
        return {}
    return features
