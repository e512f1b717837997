"""The `training:` section: fields of transformers' `TrainingArguments`, and the two that this harness adds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from ..errors import suggest

# What holds where a configuration says nothing. `learning_rate` is missing here: it is the method's own
# (`methods.METHODS`).
TRAINING_DEFAULTS: dict[str, Any] = {
    "num_train_epochs": 3,
    "per_device_train_batch_size": 32,
    "per_device_eval_batch_size": 64,
    "weight_decay": 0.01,
    "lr_scheduler_type": "linear",
    "warmup_steps": 0.06,  # a share of all steps
    "eval_strategy": "epoch",
    "save_strategy": "epoch",  # how often a checkpoint is written, for a run that is cut off to go on from
    "early_stopping_patience": 3,  # evaluations without a better validation score, then training stops; None: never
    "train_sampling_strategy": "group_by_length",
    "generation_max_length": 128,  # of what a model writes, and of the targets it learns from, in tokens
    "generation_num_beams": 1,
    "logging_steps": 0.02,  # a share of all steps: some 50 points of the loss curve, however long the run
}

# Not fields of TrainingArguments.
OWN = ("early_stopping_patience",)

ABOVE_ZERO = ("learning_rate", "num_train_epochs", "per_device_train_batch_size", "per_device_eval_batch_size")

WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", NoneType: "null"}

# Fields that the harness sets, and what to write instead.
TAKEN = {
    "output_dir": "use `results` and `adapters`",
    "seed": "use `seeds`",
    "data_seed": "use `seeds`",
    "metric_for_best_model": "use the task's `main_metric`",
    "greater_is_better": "the metric knows",
    "load_best_model_at_end": "the best adapter is always restored",
    "save_total_limit": "the latest checkpoint is kept until the run ends",
    "save_only_model": "a run goes on from a whole checkpoint",
    "save_on_each_node": "the main process writes",
    "resume_from_checkpoint": "a run that was cut off goes on by itself",
    "restore_callback_states_from_checkpoint": "a run that was cut off goes on by itself",
    "do_train": "every run trains",
    "do_eval": "every run evaluates",
    "do_predict": "every run predicts",
    "push_to_hub": "push what is below `adapters`",
    "remove_unused_columns": "the kind chooses the columns",
    "disable_tqdm": "progress is shown by the harness",
    "report_to": "records hold the curves",
    "label_names": "the kind chooses the columns",
}

# Fields that change how fast a run is or what it prints, not its score.
SCORE_NEUTRAL = frozenset(
    {
        "per_device_eval_batch_size",
        "eval_accumulation_steps",
        "logging_steps",
        "logging_strategy",
        "logging_first_step",
        "logging_nan_inf_filter",
        "log_level",
        "log_level_replica",
        "log_on_each_node",
        "dataloader_num_workers",
        "dataloader_pin_memory",
        "dataloader_persistent_workers",
        "dataloader_prefetch_factor",
        "gradient_checkpointing",
        "gradient_checkpointing_kwargs",
        "torch_empty_cache_steps",
        "save_strategy",
        "save_steps",
        "ddp_timeout",
        "ddp_backend",
        "ddp_bucket_cap_mb",
        "ddp_broadcast_buffers",
        "ddp_find_unused_parameters",
        "ddp_static_graph",
        "use_cpu",
    }
)


def check_training(training: Mapping[str, Any]) -> list[str]:
    """What is wrong with the fields and values of a `training:` section, one message per finding."""
    return list(_findings(training))


def score_relevant(training: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that take part in deciding the score, sorted: the part of a run's identity that training is."""
    return {key: training[key] for key in sorted(training) if key not in SCORE_NEUTRAL}


def _findings(training: Mapping[str, Any]) -> Iterator[str]:
    types = _field_types()
    for key, value in training.items():
        if key in TAKEN:
            yield f"{key}: is set by the harness: {TAKEN[key]}"
        elif key not in types:
            yield f"{key}: unknown field: {suggest(key, [name for name in types if name not in TAKEN])}"
        elif types[key] and not _fits(value, types[key]):
            yield f"{key}: expected {' or '.join(WORDS[t] for t in types[key])}, found {value!r}"
        elif key in ABOVE_ZERO and not value > 0:
            yield f"{key}: expected a number above 0, found {value!r}"
        elif key == "save_strategy" and value == "best":
            yield f"{key}: the best adapter is kept anyway, this is about checkpoints: choose from no, epoch, steps"
        elif reason := _refused_by_transformers(key, value):
            yield f"{key}: {reason}"


def _fits(value: Any, types: tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in types
    return isinstance(value, types) or (isinstance(value, int) and float in types)


@cache
def _field_types() -> dict[str, tuple[type, ...]]:
    """Each allowed field, with its types where they are plain ones; the empty tuple where any value may do."""
    from transformers import Seq2SeqTrainingArguments

    hints = get_type_hints(Seq2SeqTrainingArguments)
    names = [field.name for field in fields(Seq2SeqTrainingArguments)]
    types: dict[str, tuple[type, ...]] = {}
    for name in names:
        hint = hints[name]
        members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        types[name] = members if all(member in WORDS for member in members) else ()
    return {**types, "early_stopping_patience": (int, type(None))}


def _refused_by_transformers(key: str, value: Any) -> str:
    """Why `TrainingArguments` itself refuses the value (the name of a scheduler, for one); empty if it does not."""
    from transformers import Seq2SeqTrainingArguments

    try:
        Seq2SeqTrainingArguments(output_dir="unused", **({} if key in OWN else {key: value}))
    except (ValueError, TypeError, ImportError) as error:
        return str(error).strip().splitlines()[0]
    return ""
