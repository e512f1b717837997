"""Whether a method fits a model, tried without weights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ..errors import UserError, one_line
from ..hardware import memory_bytes
from ..kinds import Context, Kind
from ..models.methods import method_named
from ..models.trainable import count_parameters, head_modules, make_trainable
from ..run import Run

# No machine trains as many: their weights, gradients and the two moments of AdamW take 16 TB.
MOST_PARAMETERS = 10**12


def check_fit(context: Context, name: str, options: Mapping[str, object], kind: Kind) -> tuple[int, int]:
    """Applies the method to the model's architecture without weights, and counts its parameters.

    Some methods of PEFT compute with the weights while they are applied; those are tried on random ones.

    Raises:
        UserError: the method cannot be applied to this architecture, with these options; it trains nothing beside the
            task head, or more than `MOST_PARAMETERS`.
    """
    try:
        return _count("meta", context, name, options, kind)
    except UserError as error:
        if not re.search("meta tensor|register_meta", str(error)):
            raise
    return _count("cpu", context, name, options, kind)


def _count(device: str, context: Context, name: str, options: Mapping[str, Any], kind: Kind) -> tuple[int, int]:
    with torch.device(device):
        skeleton = kind.skeleton(context)
        model_type = skeleton.config.model_type
        heads = {
            id(parameter): parameter.numel()
            for head in head_modules(skeleton)
            for parameter in skeleton.get_submodule(head).parameters()
        }
        try:
            trainable, total = count_parameters(
                make_trainable(skeleton, name, options, kind.task_type(context.model.config))
            )
        except RuntimeError as error:  # shapes that do not go together
            raise UserError(
                f"method '{name}' does not fit models of type '{model_type}': {one_line(error)}"
            ) from error
    given = ", ".join(f"{option}={value!r}" for option, value in options.items()) or "its defaults"
    if method_named(name).by_peft and trainable <= sum(heads.values()):
        raise UserError(f"method '{name}' with {given} trains nothing in models of type '{model_type}' but their head")
    if trainable > MOST_PARAMETERS:
        raise UserError(
            f"method '{name}' with {given} trains {trainable:,} parameters in models of type '{model_type}', which "
            f"take {_gigabytes(4 * trainable)} in float32: the bound is {MOST_PARAMETERS:,}"
        )
    return trainable, total


def memory_notes(runs: Iterable[Run]) -> list[str]:
    """One line for each method whose trained parameters alone take more than the memory of this machine."""
    here = memory_bytes()
    notes = [
        f"{run.task.name} · {run.method.label} · {run.model.slug}: {run.trainable_parameters:,} trained parameters "
        f"and their gradients take {_gigabytes(8 * run.trainable_parameters)}; this machine has {_gigabytes(here)}"
        for run in runs
        if 8 * run.trainable_parameters > here
    ]
    return list(dict.fromkeys(notes))


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:,.0f} GB"
