"""Whether a method fits a model, tried without weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..errors import UserError
from ..kinds import Context, Kind
from ..models.options import one_line
from ..models.trainable import count_parameters, make_trainable


def check_fit(context: Context, name: str, options: Mapping[str, object], kind: Kind) -> tuple[int, int]:
    """Applies the method to the model's architecture without weights, and counts its parameters.

    Some methods of PEFT compute with the weights while they are applied; those are tried on random ones.

    Raises:
        UserError: the method cannot be applied to this architecture, with these options.
    """
    try:
        return _count("meta", context, name, options, kind)
    except UserError as error:
        if "meta tensor" not in str(error):
            raise
    return _count("cpu", context, name, options, kind)


def _count(device: str, context: Context, name: str, options: Mapping[str, Any], kind: Kind) -> tuple[int, int]:
    with torch.device(device):
        skeleton = kind.skeleton(context)
        try:
            return count_parameters(make_trainable(skeleton, name, options, kind.task_type(context.model.config)))
        except RuntimeError as error:  # shapes that do not go together
            raise UserError(
                f"method '{name}' does not fit models of type '{skeleton.config.model_type}': {one_line(error)}"
            ) from error
