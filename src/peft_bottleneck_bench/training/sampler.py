"""The order in which a training sees its examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from transformers.trainer_pt_utils import LengthGroupedSampler


class SeededSampler(LengthGroupedSampler):  # type: ignore[misc]  # transformers has no types
    """Examples grouped by length; their order in each epoch depends on the seed alone.

    transformers samples from the global random state, which dropout and fresh adapters advance differently for each
    method; then methods under one seed would see their examples in different orders.

    Args:
        batch_size: of all processes together, so that they see the batches that one process would.
    """

    def __init__(self, batch_size: int, lengths: Sequence[int], seed: int) -> None:
        super().__init__(batch_size, lengths=list(lengths), generator=torch.Generator().manual_seed(seed))
        self.epoch = 0  # of the next iteration
        self.sampled = 0  # epochs that the generator has gone through

    def __iter__(self) -> Iterator[int]:
        while self.sampled < self.epoch:  # the epochs before the one in which a training goes on
            super().__iter__()
            self.sampled += 1
        self.sampled += 1
        order: Iterator[int] = super().__iter__()
        return order
