"""How a method makes a loaded model trainable: the three adapters of this package and what they are compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from packaging.version import Version

from ..errors import UserError, suggest

# The first PEFT for the transformers that renamed the cache, by what that one asks for.
KNOWS_NEW_NAME = Version("0.22")
# Fields of PEFT's configurations that the harness fills in itself.
FILLED_IN = frozenset(
    {"task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode"}
)


@dataclass(frozen=True, kw_only=True)
class Method:
    """One row of the table.

    Args:
        summary: what is trained, in a few words.
        config: the name of the configuration class in `peft_bottleneck` or `peft`; None for methods without one.
        defaults: options that differ from that class's own.
        select: for methods without a configuration class: whether a base parameter is trained, by its name and the
            module that holds it.
        head: whether the task head is trained along.
        learning_rate: where the run configuration gives none.
    """

    summary: str
    config: str | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    select: Callable[[str, Any], bool] | None = None
    head: bool = True
    learning_rate: float = 1e-3


METHODS: dict[str, Method] = {
    "houlsby": Method(
        summary="bottlenecks after attention and feed-forward network (Houlsby et al. 2019)", config="HoulsbyConfig"
    ),
    "pfeiffer": Method(
        summary="one bottleneck per block, after the feed-forward network (Pfeiffer et al. 2021)",
        config="PfeifferConfig",
    ),
    "parallel_adapter": Method(
        summary="bottleneck beside the feed-forward network (He et al. 2022)", config="ParallelAdapterConfig"
    ),
    "lora": Method(summary="low-rank updates of the attention projections (Hu et al. 2022)", config="LoraConfig"),
    "ia3": Method(
        summary="learned scales of keys, values and feed-forward states (Liu et al. 2022)",
        config="IA3Config",
        learning_rate=5e-3,
    ),
    "prefix_tuning": Method(
        summary="learned keys and values before every layer's own (Li and Liang 2021)",
        config="PrefixTuningConfig",
        defaults={"num_virtual_tokens": 20},
        learning_rate=5e-3,
    ),
    "bias_tuning": Method(
        summary="the biases of the base (BitFit, Ben Zaken et al. 2022)",
        select=lambda name, module: name.endswith("bias"),
    ),
    "norm_tuning": Method(
        summary="the normalisation layers of the base (Zhao et al. 2024)",
        select=lambda name, module: "norm" in type(module).__name__.lower(),
    ),
    "full": Method(summary="all parameters", select=lambda name, module: True, learning_rate=1e-4),
    "head_only": Method(summary="the task head alone, on a frozen base", select=lambda name, module: False),
    "untuned": Method(
        summary="nothing: the base as it is, with a fresh head where the kind has one",
        select=lambda name, module: False,
        head=False,
    ),
}


def method_options(name: str) -> dict[str, Any]:
    """The options of a method, with their defaults here (None stands for the configuration class's own factory)."""
    config_class = _config_class(METHODS[name])
    if config_class is None:
        return {}
    own = {f.name: f.default for f in fields(config_class) if f.name not in FILLED_IN}
    return {**own, **METHODS[name].defaults}


def option_help(name: str) -> dict[str, str]:
    """What PEFT says of each option of a method, in one line each; empty where it says nothing."""
    config_class = _config_class(METHODS[name])
    words = {f.name: str(f.metadata.get("help", "")) for f in fields(config_class)} if config_class else {}
    return {option: " ".join(words[option].split()) for option in method_options(name)}


def check_method(name: str, options: Mapping[str, Any]) -> None:
    """Refuses unknown methods and options, and values that the configuration class refuses.

    Raises:
        UserError: with the nearest name that there is.
    """
    if name not in METHODS:
        raise UserError(f"unknown method '{name}': {suggest(name, METHODS)}")
    known = method_options(name)
    unknown = [option for option in options if option not in known]
    if unknown and not known:
        raise UserError(f"method '{name}' has no options, found '{unknown[0]}'")
    if unknown:
        raise UserError(
            *(f"method '{name}': unknown option '{option}': {suggest(option, known)}" for option in unknown)
        )
    config_class = _config_class(METHODS[name])
    if config_class is not None:
        try:
            config_class(**{**METHODS[name].defaults, **options})
        except (ValueError, TypeError) as error:
            raise UserError(f"method '{name}': {str(error).strip().splitlines()[0]}") from error


def head_modules(model: Any) -> list[str]:
    """The modules that turn the base model's last hidden states into the task's output, pooler included.

    All methods train the same head in full. The pooler belongs to it: it is either fresh, as the classifier is, or
    was trained for another task. The head of a language model does not: it is as much pretrained as its base.
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


def make_trainable(model: Any, name: str, options: Mapping[str, Any], task_type: str) -> Any:
    """The model with exactly the parameters of method `name`, and the task head, open to training.

    Raises:
        UserError: the method cannot be applied to this architecture.
    """
    method = METHODS[name]
    config_class = _config_class(method)
    heads = head_modules(model)
    if config_class is None:
        assert method.select is not None
        for parameter_name, parameter in model.named_parameters():
            module = model.get_submodule(parameter_name.rpartition(".")[0])
            in_head = method.head and any(parameter_name.startswith(f"{head}.") for head in heads)
            parameter.requires_grad_(in_head or method.select(parameter_name, module))
        if method.head and not any(parameter.requires_grad for parameter in model.parameters()):
            raise UserError(f"method '{name}' finds nothing to train in models of type '{model.config.model_type}'")
        return model
    import peft

    if name == "prefix_tuning":
        _check_prefix(model, task_type)
    options = {**method.defaults, **options}
    options["modules_to_save"] = sorted({*heads, *(options.get("modules_to_save") or ())})
    config = config_class(task_type=task_type, **options)
    try:
        return peft.get_peft_model(model, config)
    except (ValueError, KeyError, NotImplementedError) as error:
        raise UserError(
            f"method '{name}' does not fit models of type '{model.config.model_type}': "
            f"{str(error).strip().splitlines()[0]}"
        ) from error


def _check_prefix(model: Any, task_type: str) -> None:
    """PEFT hands a prefix over as cached keys and values, and finds only in training that nothing takes them."""
    import peft
    import transformers

    from peft_bottleneck.convolution import CACHE_NAMES, cache_name

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


def count_parameters(model: Any) -> tuple[int, int]:
    """Trainable parameters, and all that a prediction uses.

    PEFT keeps the untrained original of every module that it trains in full; it takes no part in either number.
    """
    parameters = [parameter for name, parameter in model.named_parameters() if ".original_module." not in name]
    return (
        sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        # 4-bit weights share bytes, and remember what shape they had
        sum(getattr(parameter, "quant_state", parameter).shape.numel() for parameter in parameters),
    )


def _config_class(method: Method) -> Any:
    if method.config is None:
        return None
    import peft

    import peft_bottleneck

    return getattr(peft_bottleneck, method.config, None) or getattr(peft, method.config)
