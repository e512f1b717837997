"""The faults of a file, as one line."""

from __future__ import annotations

from pydantic import ValidationError

SHOWN = 3
CHARACTERS = 60


def in_one_line(error: ValidationError) -> str:
    """The first findings: the field, its value and what is allowed there."""
    found = error.errors(include_url=False)
    # Another version has other fields; the version alone is the message.
    found = [one for one in found if one["loc"] == ("schema_version",)] or found
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(_finding(one["loc"], one["type"], one["msg"], one["input"]) for one in found[:SHOWN]) + more


def _finding(place: tuple[int | str, ...], type_: str, message: str, value: object) -> str:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")
    message = message.replace("Input should be", "expected").removeprefix("Value error, ")
    if type_ == "missing":
        return f"{where} is missing"
    if type_ == "extra_forbidden":
        return f"{where} is not a field"
    if not where or type_ == "json_invalid":
        return message
    shown = repr(value)
    shown = shown if len(shown) <= CHARACTERS else f"{shown[:CHARACTERS]} …"
    return f"{where} is {shown}: {message}"
