"""Whether a value that a user wrote has the type of a library's field, and the words for that type."""

from __future__ import annotations

import json
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import PydanticUserError, TypeAdapter, ValidationError

WORDS: dict[object, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    list: "a list",
    dict: "keys and values",
    NoneType: "null",
}


def field_types(cls: type) -> dict[str, object]:
    """The type of each field of a dataclass; none of them where Python cannot resolve its annotations."""
    try:
        return dict(get_type_hints(cls))
    except (NameError, TypeError):
        return {}


def fits(value: object, type_: object) -> bool:
    """Whether `value`, which JSON can hold, is of `type_`: a whole number is a number, and a boolean is neither.

    Types that pydantic cannot check take any value.
    """
    adapter = _adapter(type_)
    if adapter is None:
        return True
    try:
        adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError:
        return False
    return True


def words(type_: object) -> str:
    """`type_` for people: `a whole number or null`."""
    if get_origin(type_) in (Union, UnionType):
        return " or ".join(dict.fromkeys(words(member) for member in get_args(type_)))
    if get_origin(type_) is Literal:
        return " or ".join(repr(choice) for choice in get_args(type_))
    type_ = get_origin(type_) or type_
    if isinstance(type_, type) and issubclass(type_, Enum):
        return WORDS[str]
    return WORDS.get(type_) or str(getattr(type_, "__name__", type_))


@cache
def _adapter(type_: Any) -> TypeAdapter[Any] | None:
    try:
        return TypeAdapter(type_)
    except PydanticUserError:
        return None
