"""YAML files and the `key=value` overrides that a command line applies to them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ..errors import UserError

Value = TypeVar("Value")

LARGEST_FILE = 2**20  # bytes
MOST_VALUES = 100_000  # after every alias is written out
LARGEST_NUMBER = 2**63 - 1
MERGE = "tag:yaml.org,2002:merge"


class _Yaml(yaml.SafeLoader):
    """YAML 1.2's numbers and booleans: `1e-3` is a number, `no` and `2020-01-01` are text. A key occurs once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"key '{key.value}' twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_Yaml.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":float", ":timestamp"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Yaml.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|false|True|False"), list("tfTF"))
_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?$|[-+]?[0-9]+[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def _parse_yaml(text: str, where: str) -> object:
    """The content of `text`: text, numbers, booleans, null, and lists and mappings of them, as JSON can hold.

    Raises:
        UserError: the text is no such YAML, or is beyond a bound of this module.
    """
    try:
        loader = _Yaml(text)
        node = loader.get_single_node()
        _check_size(node)
        content = loader.construct_document(node) if node is not None else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{where}{line}: not valid YAML: {getattr(error, 'problem', None) or error}") from error
    except RecursionError as error:
        raise UserError(f"{where}: not valid YAML: nested too deeply") from error
    except ValueError as error:  # such as a whole number of 5,000 digits
        raise UserError(f"{where}: not valid YAML: {error}") from error
    return checked_values(content, where)


def checked_values(content: Value, where: str) -> Value:
    """`content`, if JSON can hold all of it.

    Raises:
        UserError: a value cannot be held.
    """
    if problems := [f"{where}{path and f': {path}'}: {problem}" for path, problem in _problems(content, "")]:
        raise UserError(*problems)
    return content


def _check_size(node: yaml.Node | None) -> None:
    """Refuses aliases that refer to themselves or multiply.

    Raises:
        YAMLError: with the reason.
    """
    sizes: dict[int, int | None] = {}  # None: its parts are being counted

    def size(node: yaml.Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = None
            parts: list[yaml.Node] = []
            if isinstance(node, yaml.SequenceNode):
                parts = node.value
            elif isinstance(node, yaml.MappingNode):
                parts = [part for pair in node.value for part in pair]
            sizes[id(node)] = 1 + sum(map(size, parts))
        counted = sizes[id(node)]
        if counted is None:
            raise yaml.YAMLError("an alias refers to itself")
        if counted > MOST_VALUES:
            raise yaml.YAMLError(f"its aliases expand to more than {MOST_VALUES:,} values")
        return counted

    if node is not None:
        size(node)


def _problems(value: object, path: str) -> Iterator[tuple[str, str]]:
    """The values that JSON cannot hold, with their places."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _problems(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _problems(inner, f"{path}[{number}]")
    elif isinstance(value, str):
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            yield path, f"{value!r} is half of a surrogate pair, and no text"
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, "a number beyond 1.8e308"
    elif isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        yield path, f"a whole number beyond {LARGEST_NUMBER}"
    elif value is not None and not isinstance(value, (bool, int, float)):
        yield path, f"expected text, a number, a list or keys and values, found {type(value).__name__}"


def read_yaml(file: Path) -> dict[str, object]:
    """The keys and values in `file`.

    Raises:
        UserError: the file is missing, is not YAML (with the line), or holds something else.
    """
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise UserError(f"{file}: is larger than {LARGEST_FILE // 2**20} MiB, and no run configuration")
        content = _parse_yaml(file.read_text(encoding="utf-8"), str(file))
    except FileNotFoundError as error:
        raise UserError(f"{file}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: expected keys and values, such as `model: …`")
    return content


def override(content: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """`content` after `key=value` overrides; dotted keys reach inside, values are YAML.

    Raises:
        UserError: an override has no `=`, its value is not YAML, or its key reaches into something without keys.
    """
    for text in overrides:
        dotted, equals, value = text.partition("=")
        if not equals or not dotted:
            raise UserError(f"override '{text}': expected key=value, such as training.learning_rate=3e-4")
        *path, last = dotted.split(".")
        node = content
        for part in path:
            if node.get(part) is None:
                node[part] = {}
            node = node[part]
            if not isinstance(node, dict):
                raise UserError(f"override '{text}': '{part}' holds no keys")
        node[last] = _parse_yaml(value, f"override '{text}'")
    return content
