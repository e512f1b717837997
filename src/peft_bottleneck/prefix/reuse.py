"""Lets the calls of a model begin above its frozen blocks, whose output comes from a store."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from .frozen import FrozenPrefix

DEFAULT_LIMIT = 10 * 2**30


def reuse_prefix(
    model: nn.Module,
    store: str | Path,
    *,
    limit: int = DEFAULT_LIMIT,
    dtype: torch.dtype | None = None,
) -> FrozenPrefix:
    """Computes the frozen blocks of a model once for each example, and reads their output from disk afterwards.

        h_k(x) = block_k(… block_1(embeddings(x)))      is computed once and stored,
        y(x)   = head(block_n(… block_{k+1}(h_k(x))))   is computed in every step,

    where block `k + 1` is the lowest one with a trainable parameter or an active adapter. A training step, an
    evaluation or a prediction then takes the time of the upper blocks. With a trained head alone, all blocks are in
    the prefix.

        with reuse_prefix(model, "prefix"):
            trainer.train()

    This suits any model of transformers with one list of blocks, and the encoder of an encoder-decoder: with adapters
    in its upper blocks (`layers_to_transform`), ours or others of PEFT, or with a trained head. A hash of the inputs
    without padding on the right identifies an example: the order of the data and the batches do not matter. A store
    belongs to one state of the frozen weights; another state, another lowest block, autocast or version of the
    packages gets another one in the same folder. It outlives the process, and the next run with the same frozen blocks
    (another seed, a prediction) reads it.

    What differs from a training without reuse: **dropout is off in the frozen blocks and in the embeddings**, and so
    is NEFTune's noise. In evaluation outputs are equal: bit for bit where the batch that stored a row had the same
    shape, otherwise up to the rounding of products of other shapes. Hidden states of padding are not stored: at
    positions that the attention mask hides, outputs differ.

    Calls that need more than hidden states run without reuse: those of `generate`, those with a cache or
    `use_cache=True`, `output_hidden_states` or `output_attentions`, and those with `adapter_names` where a frozen
    block holds adapters. A call with reuse returns no cache.

    Args:
        model: the model; what wraps it (PEFT, DistributedDataParallel) may have been applied before or afterwards.
        store: a folder, which is made.
        limit: bytes of the folder. Rows beyond it are computed every time; a warning says so once.
        dtype: of the stored numbers, for example `torch.float16`; None: as they are computed.

    Returns:
        a context manager; `close()` ends it as well. Its `blocks` says how many blocks are reused, and `str` of it
        what it did.

    Raises:
        ValueError: nothing is frozen below what is trained, or the model's blocks cannot be left out of a call,
            because they run several times (ALBERT), for example. The first call raises it for a model whose outputs
            are not equal with and without reuse.
        OSError: the folder cannot be made.
    """
    return FrozenPrefix(model, Path(store), limit=limit, dtype=dtype)
