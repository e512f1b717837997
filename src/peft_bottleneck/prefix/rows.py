"""The inputs of a call row by row: a key for each, and where its padding begins.

The key of a row is a hash of all its inputs up to the last position that the attention mask shows. So it is the same
in any order of the data, in any batch, with any padding on the right, and another one under another tokenizer.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor

KEY_BYTES = 16
_MASK = "attention_mask"
# They concern what comes after the blocks: the loss, the shape of the output.
_NOT_READ = {"return_dict", "num_items_in_batch", "labels", "shift_labels", "logits_to_keep", "return_loss"}
# With these a call reads or leaves more than the hidden states of its inputs.
_NOT_REUSED = {"past_key_values", "cache", "cache_position", "encoder_hidden_states", "head_mask", "encoder_outputs"}


@dataclass(frozen=True)
class Inputs:
    """The arguments of a call by name.

    Attributes:
        values: all of them.
        size: rows.
        per_row: the names of the tensors that have one entry per row.
        lengths: of each row, in positions, without padding on the right; None where no mask shows any.
    """

    values: Mapping[str, Any]
    size: int
    per_row: tuple[str, ...]
    lengths: Sequence[int] | None

    def of(self, rows: Sequence[int]) -> dict[str, Any]:
        """The arguments for some of the rows."""
        if len(rows) == self.size:
            return dict(self.values)
        index = torch.tensor(rows)
        return {
            name: value[index.to(value.device)] if name in self.per_row else value
            for name, value in self.values.items()
        }

    @property
    def width(self) -> int:
        """Positions of a row, padding included, as the mask has them; 0 without a mask."""
        return 0 if self.lengths is None else int(self.values[_MASK].shape[1])

    @property
    def is_padded(self) -> bool:
        return self.lengths is not None and min(self.lengths) < self.width

    @property
    def device(self) -> torch.device:
        device: torch.device = self.values[self.per_row[0]].device
        return device

    def real(self, shape: Sequence[int]) -> Tensor | None:
        """Which positions of a tensor `[batch, tokens, …]` are not padding; None where all count."""
        if self.lengths is None or tuple(shape[:2]) != (self.size, self.width):
            return None
        return torch.arange(shape[1])[None] < torch.tensor(self.lengths)[:, None]

    def keys(self) -> list[bytes]:
        """The key of each row."""
        header = [(name, value) for name, value in self.values.items() if not isinstance(value, Tensor)]
        words = repr(sorted((name, value) for name, value in header if _counts(name, value)))
        arrays = {name: _array(self.values[name], self.size) for name in sorted(self._tensors())}
        keys = []
        for row in range(self.size):
            key = blake2b(words.encode(), digest_size=KEY_BYTES)
            for name, array in arrays.items():
                part = array[row]
                if self.lengths is not None and part.ndim and part.shape[0] == self.width:
                    part = part[: self.lengths[row]]
                key.update(f"{name} {part.dtype} {part.shape}".encode())
                key.update(part.tobytes())
            keys.append(key.digest())
        return keys

    def _tensors(self) -> list[str]:
        return [name for name, value in self.values.items() if isinstance(value, Tensor) and name not in _NOT_READ]


def read_inputs(
    signature: inspect.Signature, main: str, args: Sequence[object], kwargs: Mapping[str, object]
) -> Inputs | None:
    """The inputs of a call of this signature; None for a call that no stored row can replace.

    Args:
        main: the name of the input that the rows are counted by.
    """
    bound = signature.bind(*args, **kwargs).arguments
    values: dict[str, object] = {}
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL and bound.get(name):
            return None
        if name in bound and parameter.kind is parameter.VAR_KEYWORD:
            values.update(bound[name])
        elif name in bound:
            values[name] = bound[name]
    values = {name: value for name, value in values.items() if value is not None}
    if any(_forbids(name, value) for name, value in values.items()):
        return None
    tensors = {name: value for name, value in values.items() if isinstance(value, Tensor) and name not in _NOT_READ}
    counted = tensors.get(main, next(iter(tensors.values()), None))
    if counted is None or not counted.dim():
        return None
    size = len(counted)
    per_row = tuple(name for name, value in tensors.items() if value.dim() and len(value) == size)
    shared = [value for name, value in tensors.items() if name not in per_row]
    if not size or any(value.dim() < 2 or len(value) != 1 for value in shared):
        return None
    mask = tensors[_MASK] if _MASK in per_row else None
    return Inputs(values, size, per_row, _lengths(mask) if mask is not None and mask.dim() == 2 else None)


def _forbids(name: str, value: object) -> bool:
    if name in _NOT_READ:
        return False
    if name in _NOT_REUSED or (name == "use_cache" and value):
        return True
    if name.startswith("output_") and value is not False:
        return True
    return value.requires_grad if isinstance(value, Tensor) else not isinstance(value, (bool, int, float, str))


def _counts(name: str, value: object) -> bool:
    return name not in _NOT_READ and name != "use_cache" and not name.startswith("output_")


def _lengths(mask: Tensor) -> list[int]:
    """Positions up to the last one that is shown; all of them in a row that shows none."""
    shown = mask.detach().cpu() != 0
    positions = torch.arange(1, mask.shape[1] + 1)
    lengths: list[int] = (shown * positions).amax(dim=1).tolist() if mask.shape[1] else [0] * len(mask)
    return [length or mask.shape[1] for length in lengths]


def _array(tensor: Tensor, size: int) -> Any:
    """`[batch, …]` as numpy has it; a tensor that all rows share is repeated."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.int16)
    return (tensor if len(tensor) == size else tensor.expand(size, *tensor.shape[1:])).numpy()
