"""How PEFT learns of the methods, and what the package imports from PEFT beyond its public names.

PEFT registers methods by `register_peft_method`, which only accepts names of the closed enumeration `PeftType`. So
the package first extends the enumeration.

Two modules rely on more than imports: `model` overrides the methods with a leading underscore by which PEFT's base
class asks a tuner for its part (`_prepare_adapter_config`, `_create_and_replace`, `_replace_module`,
`_check_target_module_exists`, `_unload_and_optionally_merge`, `_enable_peft_forward_hooks`), `folding` two of them.
"""

from __future__ import annotations

from peft import PeftConfig, PeftType

# The base classes that all tuners of PEFT share. Not in `peft.__all__`; stable in name and meaning since 0.18, when
# PEFT moved the code that its methods repeated into them.
from peft.tuners.tuners_utils import (
    BaseTuner,
    BaseTunerLayer,
    check_adapters_to_merge,
    check_target_module_exists,
)
from peft.utils import ModulesToSaveWrapper, register_peft_method
from peft.utils.other import AuxiliaryTrainingWrapper

__all__ = [
    "AuxiliaryTrainingWrapper",
    "BaseTuner",
    "BaseTunerLayer",
    "ModulesToSaveWrapper",
    "PeftConfig",
    "PeftType",
    "check_adapters_to_merge",
    "check_target_module_exists",
    "register",
]


def register(name: str, config_class: type[PeftConfig], model_class: type[BaseTuner]) -> None:
    """Makes `config_class` a tuner type of PEFT, called `name` (lower case); a second call changes nothing.

    Raises:
        ValueError: another package has already registered another class under this name.
    """
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    peft_type = _peft_type(name.upper())
    registered = PEFT_TYPE_TO_CONFIG_MAPPING.get(peft_type)
    if registered is None:
        register_peft_method(name=name, config_cls=config_class, model_cls=model_class)
    elif registered.__qualname__ != config_class.__qualname__:
        raise ValueError(
            f"PEFT already has a method {name.upper()!r} ({registered.__module__}.{registered.__qualname__}); "
            f"{config_class.__module__}.{config_class.__qualname__} cannot take the same name."
        )


def _peft_type(value: str) -> PeftType:
    """The member of `PeftType` with this value, made if it is missing.

    A member of a string enumeration is a string with `_name_` and `_value_` that its class lists by name, by value and
    as an attribute. `EnumType.__setattr__` forbids to set a member as an attribute, `type.__setattr__` does not; from
    Python 3.12 on `PeftType.HOULSBY` needs that attribute, before it was looked up in `_member_map_`.
    """
    known: dict[str, object] = PeftType._value2member_map_
    if value in known:
        return PeftType(value)
    member = str.__new__(PeftType, value)
    member._name_ = value
    member._value_ = value
    member._sort_order_ = len(PeftType._member_names_)
    type.__setattr__(PeftType, value, member)
    PeftType._member_names_.append(value)
    PeftType._member_map_[value] = member
    known[value] = member
    return member
