"""YAML files and the `key=value` overrides that a command line applies to them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError


class _Yaml(yaml.SafeLoader):
    """YAML 1.2's numbers and booleans: `1e-3` is a number, and `no` is a word."""


_Yaml.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":float"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Yaml.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|false|True|False"), list("tfTF"))
_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?$|[-+]?[0-9]+[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def _parse_yaml(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_Yaml)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{where}{line}: not valid YAML: {getattr(error, 'problem', None) or error}") from error


def read_yaml(file: Path) -> dict[str, Any]:
    """The keys and values in `file`.

    Raises:
        UserError: the file is missing, is not YAML (with the line), or holds something else.
    """
    try:
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
