"""How a method makes a loaded model trainable, and how many parameters that opens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import peft
import transformers
from packaging.version import Version
from peft import PeftModel
from transformers import PreTrainedModel

from peft_bottleneck.convolution import CACHE_NAMES, cache_name

from ..errors import UserError, one_line, suggest
from .methods import method_named
from .options import config_class, method_options

# The first PEFT for the transformers that renamed the cache.
KNOWS_NEW_NAME = Version("0.22")

# The errors of PEFT's methods where they do not fit. Not RuntimeError, which running out of memory raises too.
REFUSALS = (ValueError, LookupError, TypeError, AttributeError, NotImplementedError, AssertionError, ImportError)


def head_modules(model: PreTrainedModel) -> list[str]:
    """The modules that turn the base model's last hidden states into the task's output, pooler included.

    All methods train the same head in full. The pooler belongs to it: it is either fresh, as the classifier is, or
    was trained for another task. The head of a language model does not: it is pretrained like its base.
    """
    base = model.base_model
    if base is model:
        return []
    pretrained = (base, model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None)
    heads = [
        name
        for name, child in model.named_children()
        if all(child is not part for part in pretrained) and any(True for _ in child.parameters())
    ]
    if getattr(base, "pooler", None) is not None and any(True for _ in base.pooler.parameters()):
        heads.append(f"{model.base_model_prefix}.pooler")
    return heads


def make_trainable(
    model: PreTrainedModel, name: str, options: Mapping[str, Any], task_type: str
) -> PreTrainedModel | PeftModel:
    """The model with exactly the parameters of method `name`, and the task head, open to training.

    Raises:
        UserError: the method cannot be applied to this architecture.
    """
    method = method_named(name)
    heads = head_modules(model)
    if method.select is not None:
        for parameter_name, parameter in model.named_parameters():
            module = model.get_submodule(parameter_name.rpartition(".")[0])
            in_head = method.head and any(parameter_name.startswith(f"{head}.") for head in heads)
            parameter.requires_grad_(in_head or method.select(parameter_name, module))
        if method.head and not any(parameter.requires_grad for parameter in model.parameters()):
            raise UserError(f"method '{name}' finds nothing to train in models of type '{model.config.model_type}'")
        return model
    if name == "prefix_tuning":
        _check_prefix(model, task_type)
    class_ = config_class(name)
    assert class_ is not None
    _check_names(model, name, options)
    options = {**method.defaults, **options}
    if "modules_to_save" in method_options(name):
        options["modules_to_save"] = sorted({*heads, *(options.get("modules_to_save") or ())})
    elif heads:
        raise UserError(f"method '{name}' cannot train the task head along, which {', '.join(heads)} make")
    try:
        return peft.get_peft_model(model, class_(task_type=task_type, **options))
    except REFUSALS as error:
        raise UserError(
            f"method '{name}' does not fit models of type '{model.config.model_type}': {one_line(error)}"
        ) from error


def _check_names(model: PreTrainedModel, method: str, options: Mapping[str, Any]) -> None:
    """PEFT passes over a name in an option that no module has, as long as another one is found.

    Raises:
        UserError: a listed module, a key of a pattern or a block is not in the model.
    """
    modules = [name for name, _ in model.named_modules() if name]
    parts = sorted({part for name in modules for part in name.split(".") if not part.isdigit()})
    refused = f"method '{method}' does not fit models of type '{model.config.model_type}':"
    for option in ("target_modules", "exclude_modules", "modules_to_save"):
        listed = options.get(option)
        for wanted in listed if isinstance(listed, (list, tuple, set)) else ():
            if not any(name == wanted or name.endswith(f".{wanted}") for name in modules):
                raise UserError(f"{refused} {option}: no module is called '{wanted}': {suggest(str(wanted), parts)}")
    for option, pattern in options.items():
        for key in pattern if option.endswith("_pattern") and isinstance(pattern, dict) else ():
            if not any(re.match(rf"(.*\.)?({key})$", name) for name in modules):
                raise UserError(f"{refused} {option}: no module's name ends in '{key}': {suggest(str(key), parts)}")
    blocks = options.get("layers_to_transform")
    numbers = {int(part) for name in modules for part in name.split(".") if part.isdigit()}
    for block in [blocks] if isinstance(blocks, int) else blocks or ():
        if block not in numbers:
            raise UserError(f"{refused} layers_to_transform: there is no block {block}, the last is {max(numbers)}")


def _check_prefix(model: PreTrainedModel, task_type: str) -> None:
    """PEFT passes a prefix as cached keys and values, and only training shows where a model ignores them."""
    name = cache_name(type(model.base_model))
    if name is None or (model.config.is_encoder_decoder and task_type != "SEQ_2_SEQ_LM"):
        reason = "they take no cached keys and values"
    elif name != CACHE_NAMES[-1] and Version(peft.__version__) < KNOWS_NEW_NAME:
        reason = (
            f"PEFT {peft.__version__} does not know the name '{name}' that transformers {transformers.__version__} "
            f"has for cached keys and values; install PEFT {KNOWS_NEW_NAME}, or an older transformers"
        )
    else:
        return
    raise UserError(f"method 'prefix_tuning' does not fit models of type '{model.config.model_type}' here: {reason}")


def count_parameters(model: PreTrainedModel) -> tuple[int, int]:
    """Trainable parameters, and all that a prediction uses.

    PEFT keeps the untrained original of every module that it trains in full; it takes no part in either number.
    """
    parameters = [parameter for name, parameter in model.named_parameters() if ".original_module." not in name]
    return (
        sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        # 4-bit weights share bytes, and remember their shape
        sum(getattr(parameter, "quant_state", parameter).shape.numel() for parameter in parameters),
    )
