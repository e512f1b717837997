"""The options of methods: the fields of PEFT's configuration classes, and the checks of their values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import TYPE_CHECKING

from ..errors import UserError, one_line, suggest
from ..value_types import field_types, fits, words
from .methods import METHODS, method_named

if TYPE_CHECKING:
    from peft import PeftConfig

# Fields of PEFT's configurations that the harness fills in itself.
FILLED_IN = frozenset(
    {"task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode"}
)

# The words in the names of options that are sizes.
_SIZE = re.compile(r"(?:^|_)(?:r|rank|size|num|n|depth|layers|terms|dim|len)(?:_|$)")


def method_names() -> list[str]:
    """The rows of the table, then every other method of PEFT's registry, sorted."""
    return [*METHODS, *sorted(_registry().keys() - METHODS.keys())]


def config_class(name: str) -> type[PeftConfig] | None:
    """PEFT's configuration class of method `name`; None for methods that PEFT does not have."""
    return _registry()[name] if method_named(name).by_peft else None


def method_options(name: str) -> dict[str, object]:
    """The options of a method, with their defaults here; None where a class makes its own default."""
    own = {option.name: None if option.default is MISSING else option.default for option in _options(name)}
    return {**own, **method_named(name).defaults}


def size_option(name: str) -> str | None:
    """The option that decides how many parameters the adapter of a method has; None where no option does."""
    return method_named(name).size or ("r" if "r" in method_options(name) else None)


def option_help(name: str) -> dict[str, str]:
    """PEFT's description of each option of a method, in one line each; empty where there is none."""
    return {option.name: " ".join(str(option.metadata.get("help", "")).split()) for option in _options(name)}


def check_method(name: str, options: Mapping[str, object]) -> None:
    """Refuses unknown methods and options, and values of the wrong type or that the configuration class refuses.

    Raises:
        UserError: with the nearest name that there is.
    """
    names = method_names()
    if name not in names:
        raise UserError(f"unknown method '{name}': {suggest(name, names)}")
    if reason := method_named(name).refused:
        raise UserError(f"method '{name}' is not one for the benchmark: {reason}")
    known = method_options(name)
    unknown = [option for option in options if option not in known]
    if unknown and not known:
        raise UserError(f"method '{name}' has no options, found '{unknown[0]}'")
    if unknown:
        raise UserError(
            *(f"method '{name}': unknown option '{option}': {suggest(option, known)}" for option in unknown)
        )
    class_ = config_class(name)
    if class_ is None:
        return
    types = field_types(class_)
    if wrong := [
        f"method '{name}': {option}: expected {words(types[option])}, found {value!r}"
        for option, value in options.items()
        if option in types and value != known[option] and not fits(value, types[option])
    ]:
        raise UserError(*wrong)
    try:
        class_(**{**method_named(name).defaults, **options})
    except Exception as error:  # PEFT's classes raise errors of many types
        raise UserError(f"method '{name}': {one_line(error)}") from error
    if wrong := [
        f"method '{name}': {option}: expected {range_}, found {value!r}"
        for option, value in options.items()
        if (range_ := _range_missed(name, option, value, known[option])) is not None
    ]:
        raise UserError(*wrong)


def _range_missed(name: str, option: str, value: object, default: object) -> str | None:
    """The range that a number is outside of, by the meaning that its name has in PEFT; None if it is inside.

    Not every method of PEFT checks its sizes and probabilities itself: prompt tuning takes 0 tokens, VeRA a dropout
    of -1, and both train.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value == default:
        return None
    if "dropout" in option and not 0 <= value < 1:
        return "a number from 0 to below 1"
    if not isinstance(value, int) or not (_SIZE.search(option) or _is_prompt(name)):
        return None
    # Where 0 is the default, it leaves the size to another option.
    lowest = 0 if default == 0 or (option != size_option(name) and not _is_prompt(name)) else 1
    return None if value >= lowest else f"a whole number of {lowest} or more"


def _is_prompt(name: str) -> bool:
    """Whether all whole numbers among a method's options are sizes: those of virtual tokens and what makes them."""
    return "num_virtual_tokens" in method_options(name)


def _options(name: str) -> list[Field[object]]:
    class_ = config_class(name)
    return [] if class_ is None else [option for option in fields(class_) if option.name not in FILLED_IN]


def _registry() -> dict[str, type[PeftConfig]]:
    """PEFT's configuration classes by the names of its types, those of the plugin included."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    import peft_bottleneck  # noqa: F401  registers its types

    return {peft_type.value.lower(): class_ for peft_type, class_ in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
