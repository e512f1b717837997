"""The sites of a model whose family has no row, read off its structure and written as a row.

First the rows are tried on it: many models share their layout with a better known one. Else the lists of blocks are
searched for what every transformer has: a self-attention whose output projection writes the hidden size, and an FFN
that leads from it to a wider size and back. Blocks may differ: in some models one of several has an attention and the
others a recurrence or a convolution in its place, or the first ones have an FFN and the others a mixture of experts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from torch import nn

from .modules import base_modules, feature_sizes, is_linear, is_norm
from .sites import FAMILIES, Family

_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
_INSTEAD = ("mamba", "conv")  # what stands in the place of the attention in some blocks
_NOT_SELF = re.compile(r"cross|encoder_attn|encdec|norm|dropout|drop_path", re.IGNORECASE)
_OUTPUT = re.compile(r"(?:^|\.)(?:o|wo|out|proj|dense|[oc]_proj|o_b_proj|out_proj|out_lin|to_out\.0)$", re.IGNORECASE)
_NOT_FFN = re.compile(rf"attn|attention|norm|^(?:{'|'.join(_INSTEAD)})\.", re.IGNORECASE)
_EXPERTS = re.compile(r"(?:^|\.)experts(?:$|\.)")


def family_from_structure(model: nn.Module) -> Family | None:
    """A row for this model, or None where its blocks do not all show an attention and an FFN."""
    root = getattr(model, "base_model", model)  # without the head, so that the names hold for any head
    lists = _block_lists(root)
    blocks = [block for found in lists.values() for block in found]
    if not blocks:
        return None
    names = "|".join(map(re.escape, lists))
    pattern = (names if len(lists) == 1 else f"(?:{names})") + r"\.\d+"
    rows = [row for row in FAMILIES if row.ffn_output and all(_has_layout(block, row) for block in blocks)]
    row = _common(rows) if rows else _united([_searched(block) for block in blocks])
    return None if row is None else replace(row, block=pattern)


def _block_lists(model: nn.Module) -> dict[str, nn.ModuleList]:
    """The lists of blocks by name: modules built alike, or each with all that a block has, some with an attention.

    A list of stages counts as the lists of blocks in them; a list of a block's sublayers does not count.
    """
    found: dict[str, nn.ModuleList] = {}
    for name, module in base_modules(model):
        if not isinstance(module, nn.ModuleList) or not len(module):
            continue
        outer = next((other for other in found if name.startswith(other + ".")), None)
        complete = all(map(_searched, module))
        if outer is not None and not complete:
            continue
        attentive = any(_ATTENTION.search(child) for block in module for child, _ in base_modules(block))
        if attentive and (complete or len({type(child) for child in module}) == 1):
            if outer is not None:
                del found[outer]
            found[name] = module
    return found


def _has_layout(block: nn.Module, row: Family) -> bool:
    """Whether a block has every module that the row names."""
    names = [name for name, _ in base_modules(block)]
    needed = (row.attention_output, *row.ffn_input, row.ffn_output, row.ffn, row.ffn_norm, "|".join(row.residual))
    return all(any(re.fullmatch(pattern, name) for name in names) for pattern in needed if pattern)


def _common(rows: list[Family]) -> Family:
    """What rows of the same layout agree upon.

    BART and mBART name their modules alike, and the one is post-LN, the other pre-LN. What reads the residual stream
    cannot be told from names either.
    """
    ambiguous = len({row.ffn_norm for row in rows}) > 1
    return replace(rows[0], model_types=(), when={}, residual=(), ffn_norm=None if ambiguous else rows[0].ffn_norm)


def _united(rows: Sequence[Family | None]) -> Family | None:
    """One row for all blocks, or None where one has no attention or no FFN, or their FFNs do not go together.

    Where only some are mixtures of experts, all FFNs are adapted as a whole.
    """
    known = [row for row in rows if row is not None]
    whole = all(row.ffn for row in known)
    if len(known) < len(rows) or not (whole or len({(row.ffn_input, row.ffn_output, row.ffn) for row in known}) == 1):
        return None
    mixed = any(row.ffn_output is None for row in known)
    return replace(
        known[0],
        attention_output=_either(row.attention_output for row in known),
        ffn_input=() if mixed else tuple(dict.fromkeys(name for row in known for name in row.ffn_input)),
        ffn_output=None if mixed else _either(row.ffn_output for row in known),
        ffn=_either(row.ffn for row in known) if whole else None,
    )


def _either(patterns: Iterable[str | None]) -> str:
    return "|".join(dict.fromkeys(pattern for pattern in patterns if pattern))


def _searched(block: nn.Module) -> Family | None:
    """Attention and FFN by the sizes of the linear maps: to the hidden size, from it to a wider one, and back."""
    modules = dict(base_modules(block))
    sizes = {name: feature_sizes(module, None) for name, module in modules.items() if is_linear(module)}
    inside = [name for name in sizes if _ATTENTION.search(name) and not _NOT_SELF.search(name)]
    # A recurrence is adapted as a whole: its kernels read the weights of its parts and call none of them.
    instead = [name for name in _INSTEAD if any(inner.startswith(name + ".") for inner in sizes)]
    if not inside and not instead:
        return None
    attention_output = ([name for name in inside if _OUTPUT.search(name)] or inside or instead)[-1]
    hidden = feature_sizes(modules[attention_output], None)[1]
    mixture = _mixture(modules)
    if mixture is not None:
        return Family((), "", re.escape(attention_output), (), None, ffn=re.escape(mixture))
    outside = [name for name in sizes if not _NOT_FFN.search(name)]
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
        ffn=_own_module(modules, (*reads, back[-1])),
    )


def _mixture(modules: Mapping[str, nn.Module]) -> str | None:
    """The mixture of experts among a block's modules: without the norm before it, if it can be."""
    found: dict[str, bool] = {}
    for name, module in modules.items():
        inner = dict(base_modules(module))
        if name and not isinstance(module, nn.ModuleList) and any(map(_EXPERTS.search, inner)):
            found[name] = any(map(is_norm, inner.values()))
    return min(found, key=lambda name: found[name], default=None)  # the outermost comes first


def _own_module(modules: Mapping[str, nn.Module], linears: tuple[str, ...]) -> str | None:
    """The module that holds just the FFN: nothing normalises in it and all of its linear maps are the FFN's."""
    name = linears[-1].rpartition(".")[0]
    if not name or not all(linear.startswith(name + ".") for linear in linears):
        return None
    own = dict(base_modules(modules[name]))
    maps, norms = sum(map(is_linear, own.values())), any(map(is_norm, own.values()))
    return None if norms or maps != len(linears) or isinstance(own[""], nn.ModuleList) else re.escape(name)
