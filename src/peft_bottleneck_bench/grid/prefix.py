"""The frozen prefix of a run that reuses it: how many blocks, and what their output takes on disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from peft_bottleneck.prefix import find_prefix, stored_bytes

from ..configuration.training_options import REUSE
from ..data.loading import SPLITS
from ..errors import UserError
from ..kinds import Context, Kind
from ..models.trainable import make_trainable
from ..run import Prefix, Run

MOST_EXAMPLES = 2_000  # of a split whose lengths are looked at
_NOT_WITH = {
    "neftune_noise_alpha": "adds noise to the embeddings, which reuse takes from the store",
    "torch_compile": "compiles the blocks that reuse leaves out",
}


def prefix_of(
    context: Context,
    name: str,
    options: Mapping[str, object],
    kind: Kind,
    training: Mapping[str, object],
    limit_gib: float,
) -> Prefix | None:
    """What a method leaves frozen, tried on the model without weights; None where the run reuses nothing.

    Raises:
        UserError: the run asks for reuse, and there is no prefix to reuse.
    """
    if not training.get(REUSE):
        return None
    what = f"{REUSE}: method '{name}'"
    for field, reason in _NOT_WITH.items():
        if training.get(field):
            raise UserError(f"{what}: {field} {reason}")
    if context.markers:
        raise UserError(f"{what}: {kind.name} trains the embeddings of its markers, before the first block")
    with torch.device("meta"):
        model = make_trainable(kind.skeleton(context), name, dict(options), kind.task_type(context.model.config))
        try:
            stack, blocks = find_prefix(model)
        except ValueError as error:
            raise UserError(f"{what}: {error} Leave {REUSE} out for it.") from error
    tokens = 0 if kind.reads_text else stack.tokens
    return Prefix(blocks=blocks, of=stack.count, width=stack.width, tokens=tokens, limit_bytes=int(limit_gib * 2**30))


def prefix_notes(runs: Iterable[Run]) -> list[str]:
    """One line for each method of a task that reuses its frozen prefix: how much, and the size of the store."""
    firsts = {(run.task.name, run.model.name, run.method.label): run for run in runs if run.prefix}
    return [
        f"{run.task.name} · {run.method.label} · {run.model.slug}: {_note(run, run.prefix)}"
        for run in firsts.values()
        if run.prefix
    ]


def _note(run: Run, prefix: Prefix) -> str:
    needed = expected_bytes(run, prefix)
    text = (
        f"{prefix.blocks} of {prefix.of} blocks are computed once for each example, without dropout; they take about "
        f"{_size(needed)} below {run.prefix_folder}"
    )
    if needed > prefix.limit_bytes:
        text += (
            f", and prefix_limit_gib allows {_size(prefix.limit_bytes)}: the examples beyond it are computed in every "
            "epoch"
        )
    return text


def expected_bytes(run: Run, prefix: Prefix) -> int:
    """The size of the store for all examples of the run's data, by the mean length of some thousands."""
    rows = tokens = 0
    for split in SPLITS:
        examples = run.data.splits[split]
        rows += len(examples)
        if prefix.tokens:
            tokens += len(examples) * prefix.tokens
            continue
        lengths = run.kind.encode(examples[:MOST_EXAMPLES], run.context, training=split == "train").lengths
        tokens += round(sum(lengths) / len(lengths) * len(examples))
    return stored_bytes(tokens, rows, prefix.width, torch.float32)


def _size(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.1f} MiB"
