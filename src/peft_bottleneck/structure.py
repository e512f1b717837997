"""The sites of a model whose family has no row, read off its structure and written as a row.

First the rows are tried on it: many models share their layout with a better known one. Else the lists of blocks are
searched for what every transformer has: a self-attention whose output projection writes the hidden size, and an FFN
that leads from it to a wider size and back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from torch import nn
from transformers.pytorch_utils import Conv1D

from .sites import FAMILIES, Family

_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
_NOT_SELF = re.compile(r"cross|encoder_attn|encdec|norm|dropout|drop_path", re.IGNORECASE)
_OUTPUT = re.compile(r"(?:^|\.)(?:o|wo|out|proj|dense|[oc]_proj|out_proj|out_lin|to_out\.0)$", re.IGNORECASE)
_EXPERTS = re.compile(r"(?:^|\.)experts(?:$|\.)")


def family_from_structure(model: nn.Module) -> Family | None:
    """A row for this model, or None where its blocks do not all show the same attention and FFN."""
    root = getattr(model, "base_model", model)  # without the head, so that the names hold for any head
    lists = list(_block_lists(root))
    if not lists:
        return None
    blocks = [root.get_submodule(name)[0] for name in lists]  # type: ignore[index]
    names = "|".join(map(re.escape, lists))
    pattern = (names if len(lists) == 1 else f"(?:{names})") + r"\.\d+"
    rows = [row for row in FAMILIES if row.ffn_output and _has_layout(blocks[0], row)]
    row = _common(rows) if rows else _searched(blocks[0])
    return replace(row, block=pattern) if row and all(_has_layout(block, row) for block in blocks) else None


def _block_lists(model: nn.Module) -> Iterator[str]:
    """Names of the lists of equally built modules that contain an attention, outermost only."""
    found: list[str] = []
    for name, module in model.named_modules():
        inside = any(name.startswith(outer + ".") for outer in found)
        if inside or not isinstance(module, nn.ModuleList) or not len(module):
            continue
        alike = len({type(child) for child in module}) == 1
        if alike and any(_ATTENTION.search(child) for child, _ in module[0].named_modules()):
            found.append(name)
            yield name


def _has_layout(block: nn.Module, row: Family) -> bool:
    """Whether a block has every module that the row names."""
    names = [name for name, _ in block.named_modules()]
    needed = (row.attention_output, *row.ffn_input, row.ffn_output, row.ffn, row.ffn_norm, "|".join(row.residual))
    return all(any(re.fullmatch(pattern, name) for name in names) for pattern in needed if pattern)


def _common(rows: list[Family]) -> Family:
    """What rows of the same layout agree upon.

    BART and mBART name their modules alike, and the one is post-LN, the other pre-LN. What reads the residual stream
    cannot be told from names either.
    """
    ambiguous = len({row.ffn_norm for row in rows}) > 1
    return replace(rows[0], model_types=(), when={}, residual=(), ffn_norm=None if ambiguous else rows[0].ffn_norm)


def _searched(block: nn.Module) -> Family | None:
    """Attention and FFN by the sizes of the linear maps: to the hidden size, from it to a wider one, and back."""
    linears = {name: child for name, child in block.named_modules() if isinstance(child, (nn.Linear, Conv1D))}
    sizes = {name: feature_sizes(child, None) for name, child in linears.items()}
    inside = [name for name in sizes if _ATTENTION.search(name) and not _NOT_SELF.search(name)]
    if not inside:
        return None
    attention_output = ([name for name in inside if _OUTPUT.search(name)] or inside)[-1]
    hidden = sizes[attention_output][1]
    mixture = _mixture(block)
    if mixture is not None:
        return Family((), "", re.escape(attention_output), (), None, ffn=re.escape(mixture))
    outside = [name for name in sizes if not _ATTENTION.search(name)]
    back = [name for name in outside if sizes[name][1] == hidden and sizes[name][0] != hidden]
    inner = sizes[back[-1]][0] if back else 0
    reads = [name for name in outside if sizes[name][0] == hidden and sizes[name][1] in (inner, 2 * inner)]
    if not back or not reads:
        return None
    return Family(
        (),
        block="",
        attention_output=re.escape(attention_output),
        ffn_input=tuple(map(re.escape, reads)),
        ffn_output=re.escape(back[-1]),
        ffn=_own_module(block, (*reads, back[-1])),
    )


def _mixture(block: nn.Module) -> str | None:
    """The mixture of experts of this block, which is adapted as a whole."""
    for name, child in block.named_children():
        if any(_EXPERTS.search(inner) for inner, _ in child.named_modules()):
            return name
    return None


def _own_module(block: nn.Module, linears: tuple[str, ...]) -> str | None:
    """The module that holds just the FFN: nothing normalises in it and all of its linear maps are the FFN's."""
    name = linears[-1].rpartition(".")[0]
    if not name or not all(linear.startswith(name + ".") for linear in linears):
        return None
    own = block.get_submodule(name)
    maps = sum(isinstance(child, (nn.Linear, Conv1D)) for child in own.modules())
    norms = any(map(is_norm, own.modules()))
    return None if norms or maps != len(linears) or isinstance(own, nn.ModuleList) else re.escape(name)


def is_norm(module: nn.Module) -> bool:
    """Whether a module normalises: every model has norms of its own, which only their names have in common."""
    return "Norm" in type(module).__name__


def feature_sizes(module: nn.Module, hidden_size: int | None) -> tuple[int, int]:
    """The channels that a module reads and writes, in its last dimension.

    Linear maps and norms know theirs. A module that contains linear maps reads what its first one reads, and writes as
    much if one of them does, else what its last one writes. Without any, both are the model's `hidden_size`.

    Raises:
        ValueError: nothing tells the sizes.
    """
    if isinstance(module, Conv1D):
        return int(module.weight.shape[0]), int(module.nf)
    if isinstance(module, nn.Embedding):
        return module.embedding_dim, module.embedding_dim
    sizes = getattr(module, "in_features", None), getattr(module, "out_features", None)
    if all(isinstance(size, int) for size in sizes):
        return sizes  # type: ignore[return-value]
    weight = getattr(module, "weight", None)
    if weight is not None and weight.dim() == 1:
        return len(weight), len(weight)
    linears = [child for child in module.modules() if isinstance(child, (nn.Linear, Conv1D))]
    if linears:
        reads, writes = feature_sizes(linears[0], None)[0], [feature_sizes(linear, None)[1] for linear in linears]
        return reads, reads if reads in writes else writes[-1]
    if hidden_size is None:
        raise ValueError(
            f"Cannot tell how many channels {type(module).__name__} reads and writes. Supported are linear layers, "
            "normalisation layers, embeddings, and modules that contain linear layers."
        )
    return hidden_size, hidden_size
