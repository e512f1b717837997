"""The types with which `datasets` reads record files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .schema import Record

if TYPE_CHECKING:
    import datasets

TYPES = {"string": "string", "integer": "int64", "number": "float64", "boolean": "bool"}
Schema = Mapping[str, Any]


def features(records: Iterable[Record]) -> datasets.Features:
    """The types of the fields of `records`, for `datasets.load_dataset("json", ..., features=...)`.

    They follow the JSON Schema. Arrow has no mapping with free names, so a mapping gets all names in `records`.
    """
    import datasets

    schema = Record.model_json_schema(mode="serialization")

    def feature(field: Schema, values: Sequence[Any]) -> Any:
        if "$ref" in field:
            return feature(schema["$defs"][field["$ref"].rpartition("/")[2]], values)
        if "anyOf" in field:  # a type or null
            return feature(field["anyOf"][0], [value for value in values if value is not None])
        if "properties" in field:
            return {name: feature(part, [v[name] for v in values]) for name, part in field["properties"].items()}
        if "additionalProperties" in field:
            names = sorted({name for mapping in values for name in mapping})
            part = field["additionalProperties"]
            return {name: feature(part, [value[name] for value in values if name in value]) for name in names}
        if "prefixItems" in field:  # a point of a curve: Arrow lists have one type
            return datasets.List(datasets.Value("float64"))
        if "items" in field:
            return datasets.List(feature(field["items"], [item for items in values for item in items]))
        return datasets.Value(TYPES[field["type"]])

    return datasets.Features(feature(schema, [record.model_dump(mode="json") for record in records]))
