"""Which row of a batch has which adapter (`adapter_names`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# On a CPU, a separate call for one adapter costs as much as this many additional tokens in a batched product.
_TOKENS_PER_CALL = 16


@dataclass(frozen=True)
class Share:
    """The rows of some adapters: each adapter's rows one after the other.

    Attributes:
        read: the rows to compute, sorted by adapter; None: all rows of the batch as they are.
        counts: how many of them each adapter has.
        kept: which of the computed rows count, where adapters with fewer rows compute some twice; None: all.
        written: the rows of the batch that the results belong to; None: all as they are.
    """

    read: Tensor | None
    counts: tuple[int, ...]
    kept: Tensor | None
    written: Tensor | None

    @property
    def even(self) -> bool:
        """Whether all adapters have the same number of rows."""
        return len(set(self.counts)) == 1


class Rows:
    """The adapter of each row of one call; `__base__` for none."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._shares: dict[tuple[tuple[str, ...], int, torch.device], Share] = {}

    def of(self, adapter: str) -> list[int]:
        """The rows of one adapter."""
        return [row for row, name in enumerate(self.names) if name == adapter]

    def split(self, tensor: Tensor) -> Tensor:
        """A tensor `[batch, …, d]` or `[batch·tokens, d]` as `[batch, tokens, d]`.

        Raises:
            ValueError: its first dimension is no multiple of the number of rows.
        """
        if len(tensor) % len(self.names):
            raise ValueError(
                f"adapter_names has {len(self.names)} names, and a module of the model computes {len(tensor)} rows: "
                "which row belongs to which adapter is unknown there."
            )
        return tensor.reshape(len(self.names), -1, tensor.shape[-1])

    def repeated(self, rows: int) -> Rows:
        """The adapters of so many rows, where the model repeats each row several times."""
        return (
            self if rows == len(self.names) else Rows([n for n in self.names for _ in range(rows // len(self.names))])
        )

    def share(self, adapters: tuple[str, ...], tokens: int, device: torch.device) -> Share:
        """The rows of these adapters, for one batched product where that is cheaper than one for each adapter.

        `tokens` is the number of tokens in a row.
        """
        key = (adapters, tokens, device)
        if key not in self._shares:  # layers of one call ask for the same
            counts = [self.names.count(adapter) for adapter in adapters]
            wasted = (max(counts) * len(counts) - sum(counts)) * tokens
            padded = device.type != "cpu" or wasted <= _TOKENS_PER_CALL * len(counts)
            self._shares[key] = self._share(adapters, padded, device)
        return self._shares[key]

    def _share(self, adapters: tuple[str, ...], padded: bool, device: torch.device) -> Share:
        rows = [self.of(adapter) for adapter in adapters]
        written = [row for own in rows for row in own]
        longest = max(map(len, rows))
        read = [row for own in rows for row in own + own[:1] * (longest - len(own))] if padded else written
        kept = [place * longest + number for place, own in enumerate(rows) for number in range(len(own))]
        counts = (longest,) * len(rows) if padded else tuple(map(len, rows))
        everything = list(range(len(self.names)))
        return Share(
            read=None if read == everything else torch.tensor(read, device=device),
            counts=counts,
            kept=None if len(read) == len(written) else torch.tensor(kept, device=device),
            written=None if written == everything else torch.tensor(written, device=device),
        )
