"""Whether transformers can train with a `training:` section, checked before any data is read."""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Iterator, Mapping

import torch
from accelerate.utils import DynamoBackend
from torch import nn
from transformers import Seq2SeqTrainingArguments, Trainer, get_scheduler
from transformers.integrations import get_available_reporting_integrations
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
from transformers.utils import is_liger_kernel_available

from ..errors import one_line, suggest
from ..value_types import field_types, fits, words
from .training_options import (
    ABOVE_ZERO,
    BELOW_ONE,
    CHOICES,
    NOT_NEGATIVE,
    OF_THE_DEVICE,
    OWN,
    TAKEN,
    TRAINING_DEFAULTS,
)

# Names that no machine knows, though it depends on the machine which of the others work.
NAMES = {
    **CHOICES,
    "torch_compile_backend": tuple(backend.value.lower() for backend in DynamoBackend),
    "torch_compile_mode": ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"),
    "ddp_backend": ("nccl", "gloo", "mpi", "ccl", "hccl", "cncl", "mccl", "xccl"),
}
REFUSED_CHOICE = re.compile(r"(\S+) is not a valid \w+, please select one of (\[.*\])")


def check_training(training: Mapping[str, object], below: Mapping[str, object] = TRAINING_DEFAULTS) -> list[str]:
    """The errors of a `training:` section, one message each.

    First the name, the type and the range of each field; then whether transformers accepts all of them together, with
    the fields of `below`.
    """
    problems = {key: _problem(str(key), value) for key, value in training.items()}
    taken = {key: value for key, value in training.items() if not problems[key]}
    return [*filter(None, problems.values()), *_together(taken, below)]


def _together(training: dict[str, object], below: Mapping[str, object]) -> Iterator[str]:
    """One message for each smallest set of fields that transformers refuses."""
    if training.get("bf16") and training.get("fp16"):
        yield "bf16: fp16 is on too: choose one of them"
    while training and _refused({**below, **training}):
        blamed = dict(training)
        for key in training:
            fewer = {name: value for name, value in blamed.items() if name != key}
            if fewer and _refused({**below, **fewer}):
                blamed = fewer
        yield f"{' and '.join(blamed)}: {_refused({**below, **blamed})}"
        training = {key: value for key, value in training.items() if key not in blamed}


def _problem(key: str, value: object) -> str:
    types = training_fields()
    if key in TAKEN:
        return f"{key}: is set by the harness: {TAKEN[key]}"
    if key not in types:
        return f"{key}: unknown field: {suggest(key, [name for name in types if name not in TAKEN])}"
    if not fits(value, types[key]):
        return f"{key}: expected {words(types[key])}, found {value!r}"
    if key in NAMES and value is not None and value not in NAMES[key]:
        return f"{key}: unknown choice '{value}': {suggest(str(value), NAMES[key])}"
    if key == "report_to" and (reason := _no_tracker(value)):
        return f"{key}: {reason}"
    if key == "use_liger_kernel" and value and not is_liger_kernel_available():
        return f"{key}: liger-kernel is not installed: pip install liger-kernel"
    if reason := next(_out_of_range(key, value), ""):
        return f"{key}: expected {reason}, found {value!r}"
    if key == "save_strategy" and value == "best":
        return f"{key}: the best adapter is kept anyway, this is about checkpoints: choose from no, epoch, steps"
    return ""


def _no_tracker(value: object) -> str:
    """Why a tracker cannot be used; empty if all can."""
    for name in [value] if isinstance(value, str) else value if isinstance(value, list) else []:
        if name in ("none", "all"):
            continue
        if name not in INTEGRATION_TO_CALLBACK:
            return f"unknown choice '{name}': {suggest(name, ['none', 'all', *INTEGRATION_TO_CALLBACK])}"
        if name not in get_available_reporting_integrations():
            return f"'{name}' is not installed"
    return ""


def _out_of_range(key: str, value: object) -> Iterator[str]:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return
    if key in ABOVE_ZERO and not value > 0:
        yield "a number above 0"
    if key in NOT_NEGATIVE and value < 0:
        yield "a number from 0 on"
    if key in BELOW_ONE and value >= 1:
        yield "a number below 1"
    if key == "max_steps" and (value == 0 or value < -1):
        yield "a number above 0, or -1 for as many as the epochs have"


def training_fields() -> dict[str, object]:
    """The type of each field, those of the harness's own included."""
    return {**field_types(Seq2SeqTrainingArguments), **OWN}


def _refused(training: Mapping[str, object]) -> str:
    """Why transformers cannot make the arguments, the optimiser or the schedule of a training; empty if it can."""
    own_device = {"use_cpu": not torch.accelerator.is_available()}
    given = {key: value for key, value in training.items() if key not in OWN and key not in OF_THE_DEVICE}
    try:
        _make(Seq2SeqTrainingArguments(output_dir="unused", **{"report_to": "none", **own_device, **given}))
    except Exception as error:  # transformers and the optimisers that it calls raise what they like
        if match := REFUSED_CHOICE.search(str(error)):
            return f"unknown choice '{match[1]}': {suggest(match[1], literal_eval(match[2]))}"
        return one_line(error)
    return ""


def _make(arguments: Seq2SeqTrainingArguments) -> None:
    """Makes the optimiser and the schedule for a model of one weight."""
    model = nn.Linear(1, 1, bias=False)
    optimiser_class, options = Trainer.get_optimizer_cls_and_kwargs(arguments, model)
    optimiser = optimiser_class(model.parameters(), **options)
    arguments.get_process_log_level()  # which knows the names of levels
    steps = 100
    get_scheduler(
        arguments.lr_scheduler_type,
        optimizer=optimiser,
        num_warmup_steps=arguments.get_warmup_steps(steps),
        num_training_steps=steps,
        scheduler_specific_kwargs=arguments.lr_scheduler_kwargs,
    )
