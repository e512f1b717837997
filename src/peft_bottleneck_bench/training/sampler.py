"""The order in which a training sees its examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from transformers.trainer_pt_utils import LengthGroupedSampler


class SeededOrder(LengthGroupedSampler):  # type: ignore[misc]  # transformers has no types
    """Examples grouped by length, in an order for each epoch that depends on the seed alone.

    transformers draws the order from the global random state, which dropout and fresh adapters advance differently
    for each method; then methods under one seed would see their examples in different orders.

    Args:
        batch_size: of all processes together, so that they see the batches that one process would.
    """

    def __init__(self, batch_size: int, lengths: Sequence[int], seed: int) -> None:
        super().__init__(batch_size, lengths=list(lengths), generator=torch.Generator().manual_seed(seed))
        self.epoch = 0  # the one that the next iteration is for
        self.drawn = 0

    def __iter__(self) -> Iterator[int]:
        while self.drawn < self.epoch:  # those before the one in which a training goes on
            super().__iter__()
            self.drawn += 1
        self.drawn += 1
        order: Iterator[int] = super().__iter__()
        return order
