"""The sites of a model whose family has no row, read off what its blocks compute and written as a row.

Blocks are the modules in lists with an attention inside. A call of the model's skeleton (`data_flow`) shows in each
block the projection that ends the attention, the FFN (maps that lead from the stream to another size, and one that
leads back), the norm that ends a post-LN block and the one that a pre-LN block's FFN reads. Blocks may differ: in some
models one of several has an attention and the others a recurrence or a convolution in its place, or the first ones
have an FFN and the others a mixture of experts. What a call does not confirm is refused.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace

from torch import Tensor, nn
from transformers import PretrainedConfig

from ..modules import base_modules, has_experts, is_norm
from .data_flow import INPUT, BlockFlow, observe, storage_of
from .families import family_of
from .family import Family

_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
_INSTEAD = ("mamba", "conv")  # what takes the place of the attention in some blocks
_CROSS = re.compile(r"cross|encoder_attn|encdec", re.IGNORECASE)
_NOT_MAPS = re.compile(r"norm|dropout|drop_path", re.IGNORECASE)
_NOT_FFN = re.compile(rf"attn|attention|norm|^(?:{'|'.join(_INSTEAD)})\.", re.IGNORECASE)


class _NoSite(Exception):
    """Why a model, or a block of it, shows no sites."""


def find_family(model: nn.Module, exclude: str | None = None) -> Family:
    """The row of a model's family, or one for this model alone (without `model_types`), read off its structure.

    `exclude` is a regular expression of blocks that the structure is not asked about.

    Raises:
        ValueError: there is no row, and the blocks do not all show an attention and an FFN when they are called.
    """
    return family_of(model) or family_from_structure(model, exclude)


def tell_sites(model: nn.Module, family: Family, indices: object) -> None:
    """Warns where the sites are not the user's choice: read off the structure, or of blocks in several towers."""
    config: PretrainedConfig = getattr(model, "config", None)
    if not family.model_types:
        warnings.warn(
            f"No sites are known for model_type={getattr(config, 'model_type', None)!r} ({type(model).__name__}); by "
            f"its structure the blocks are {family.block!r}, with attention output {family.attention_output!r}, FFN "
            f"input {', '.join(map(repr, family.ffn_input))} and FFN output {family.ffn_output or family.ffn!r}. If "
            "that is wrong, set target_modules.",
            stacklevel=3,
        )
    if indices is not None and not getattr(config, "is_encoder_decoder", False):
        block = re.compile(rf"(?:.*\.)?(?:{family.block})")
        lists = {name.rpartition(".")[0] for name, _ in base_modules(model) if block.fullmatch(name)}
        if len(lists) > 1:
            warnings.warn(
                f"layers_to_transform={indices} means these blocks of each of {', '.join(sorted(lists))}. The name of "
                "one of these lists as layers_pattern selects it.",
                stacklevel=3,
            )


def family_from_structure(model: nn.Module, exclude: str | None = None) -> Family:
    """A row for this model alone, confirmed by a call of its skeleton.

    Raises:
        ValueError: its blocks do not all show an attention and an FFN when they are called; says which, and why.
    """
    root = getattr(model, "base_model", model)  # without the head, so that the names hold for any head
    try:
        return _row(root, exclude)
    except _NoSite as reason:
        model_type = getattr(getattr(model, "config", None), "model_type", "custom")
        raise ValueError(
            f"No sites are known for model_type={model_type!r} ({type(model).__name__}), and its structure does not "
            f"show them: {reason}. Please specify `target_modules`, a regular expression or a list of names; or "
            "`exclude_modules`, a regular expression of the blocks to leave out."
        ) from None


def _row(root: nn.Module, exclude: str | None) -> Family:
    lists = _lists_with_attention(root, exclude)
    blocks = {block: module for found in lists.values() for block, module in found.items()}
    flows, reasons = observe(root, blocks)
    rows: dict[str, Family] = {}
    refused: dict[str, str] = {}
    for name, block in blocks.items():
        try:
            if name not in flows:
                raise _NoSite(f"cannot be called with guessed inputs ({reasons.get(name, 'its size is not known')})")
            rows[name] = _sites(block, flows[name])
        except _NoSite as reason:
            refused[name] = str(reason)
    complete = [name for name, found in lists.items() if found.keys() <= rows.keys()]
    for name, found in lists.items():
        if not any(_nested(name, other) for other in complete):
            block_name = next(block for block in found if block in refused)
            raise _NoSite(f"{block_name} {refused[block_name]}")
    # A list of stages has the lists of blocks in it; a list of a block's sublayers has no blocks in it.
    chosen = [name for name in complete if not any(other.startswith(name + ".") for other in complete)]
    names = "|".join(map(re.escape, chosen))
    pattern = (names if len(chosen) == 1 else f"(?:{names})") + r"\.\d+"
    united = _united({block: rows[block] for name in chosen for block in lists[name]}, blocks)
    return replace(united, block=pattern)


def _lists_with_attention(model: nn.Module, exclude: str | None) -> dict[str, dict[str, nn.Module]]:
    """The blocks, or what may be blocks, by the list that they are in."""
    lists: dict[str, dict[str, nn.Module]] = {}
    for name, module in base_modules(model):
        if isinstance(module, nn.ModuleList):
            blocks = {f"{name}.{index}": block for index, block in enumerate(module)}
            inner = (inner for block in module for inner, _ in base_modules(block))
            left_out = exclude is not None and all(re.fullmatch(exclude, block) for block in blocks)
            if any(map(_ATTENTION.search, inner)) and not left_out:
                lists[name] = blocks
    if not lists:
        raise _NoSite("it has no list of blocks with an attention in them")
    return lists


def _nested(name: str, other: str) -> bool:
    return name == other or name.startswith(other + ".") or other.startswith(name + ".")


def _sites(block: nn.Module, flow: BlockFlow) -> Family:
    """The row of one block.

    Raises:
        _NoSite: the call shows no attention or no FFN.
    """
    modules = dict(base_modules(block))
    attention_output = _attention_output(flow)
    hidden = flow.calls[attention_output].sizes[1]
    row = Family((), "", re.escape(attention_output), (), None, ffn_size={})
    mixture = _mixture(modules, flow)
    if mixture is not None:
        return replace(row, ffn=re.escape(mixture), residual=_residual(flow, mixture, mixture))
    reads, back = _ffn(flow, hidden)
    ffn = _own_module(flow, reads, back)
    norm = _final_norm(flow, back)
    return replace(
        row,
        ffn_input=tuple(map(re.escape, reads)),
        ffn_output=re.escape(back),
        ffn=None if ffn is None else re.escape(ffn),
        ffn_norm=None if norm is None else re.escape(norm),
        residual=() if norm is not None else _residual(flow, reads[0], ffn or reads[0]),
    )


def _attention_output(flow: BlockFlow) -> str:
    """The last map of the self-attention that writes the block's size.

    A block whose only attention is to another sequence gives that one's. An attention or a recurrence whose kernels
    read the weights of its maps and do not call them is adapted as a whole.
    """
    attentive = [name for name in flow.calls if _ATTENTION.search(name) and not _NOT_MAPS.search(name)]
    inside = [name for name in attentive if not _CROSS.search(name)] or attentive
    reached = flow.behind(flow.result)
    maps = [name for name in inside if name in flow.maps & reached]
    writing = [name for name in maps if flow.calls[name].sizes[1] == flow.width]
    whole = [name for name in (*reversed(inside), *_INSTEAD) if name in flow.calls and name not in flow.maps]
    whole = [name for name in whole if flow.calls[name].sizes == (flow.width, flow.width)]
    for found in (writing, whole[:1], maps):
        if found:
            return found[-1]
    raise _NoSite("has no attention that its output depends on")


def _ffn(flow: BlockFlow, hidden: int) -> tuple[list[str], str]:
    """The maps that read the input and write the output of the widest FFN of a block, the last of several."""
    outside = [name for name in flow.calls if name in flow.maps and not _NOT_FFN.search(name)]
    reached = flow.behind(flow.result)
    found: list[tuple[list[str], str]] = []
    for back in outside:
        inner, writes = flow.calls[back].sizes
        reads = [name for name in flow.calls if name in flow.feeding(flow.calls[back].sources)]
        if (
            writes == hidden
            and back in reached
            and reads
            and INPUT not in flow.feeding(flow.calls[back].sources)
            and all(name in outside and flow.calls[name].sizes in _into(hidden, inner) for name in reads)
            and len({flow.calls[name].sources for name in reads}) == 1
        ):
            found.append((reads, back))
    if not found:
        raise _NoSite(f"has no FFN: no linear maps that lead from {hidden} channels to others and back to them")
    widest = max(flow.calls[back].sizes[0] for _, back in found)  # the narrower ones are adapters of the model's own
    return [ffn for ffn in found if flow.calls[ffn[1]].sizes[0] == widest][-1]


def _into(hidden: int, inner: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (hidden, inner), (hidden, 2 * inner)


def _own_module(flow: BlockFlow, reads: list[str], back: str) -> str | None:
    """The module that is just the FFN: it reads what the first maps read, and returns what the last one writes."""
    name = back
    while name := name.rpartition(".")[0]:
        call = flow.calls.get(name)
        if call is not None and all(read.startswith(name + ".") for read in reads):
            same = _same(call.reads, flow.calls[reads[0]].reads) and _same(call.writes, flow.calls[back].writes)
            return name if same else None
    return None


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors without values are one, or views of one."""
    return storage_of(one) == storage_of(other)


def _mixture(modules: Mapping[str, nn.Module], flow: BlockFlow) -> str | None:
    """The mixture of experts among a block's modules: without the norm before it, if it can be."""
    found: dict[str, bool] = {}
    for name, call in flow.calls.items():
        if has_experts(modules[name]) and call.sizes[0] == call.sizes[1]:
            found[name] = any(is_norm(inner) for _, inner in base_modules(modules[name]))
    return min(found, key=lambda name: (found[name], len(name)), default=None)  # the outermost has the shortest name


def _final_norm(flow: BlockFlow, back: str) -> str | None:
    """The norm that ends a post-LN block, `norm(x + f(x))`."""
    name = next(iter(flow.result)) if len(flow.result) == 1 else None
    if name is None or name not in flow.norms:
        return None
    summed = flow.calls[name].sources
    return name if back in summed and len(summed) > 1 else None


def _residual(flow: BlockFlow, read: str, otherwise: str) -> tuple[str, ...]:
    """The norm that reads the residual stream before the FFN; without one the FFN itself reads the stream."""
    sources = flow.calls[read].sources
    norms = sources & flow.norms
    return (re.escape(next(iter(norms)) if len(sources) == 1 and norms else otherwise),)


def _united(rows: Mapping[str, Family], blocks: Mapping[str, nn.Module]) -> Family:
    """One row for all blocks. Where only some are mixtures of experts, all FFNs are adapted as a whole.

    Where the FFN is a module in some blocks and none in others, the row has no `ffn_input`: what an adapter beside the
    FFN reads differs.

    Raises:
        _NoSite: the FFNs of the blocks do not go together, or names mean one thing here and another thing there.
    """
    known = list(rows.values())
    mixed = any(row.ffn_output is None for row in known)
    whole = all(row.ffn for row in known)
    if mixed and not whole:
        raise _NoSite("some of its blocks have a mixture of experts, and others an FFN that is no module")
    alike = (whole and not mixed) or len({(row.ffn_input, row.ffn_output, row.ffn) for row in known}) == 1
    norms = {row.ffn_norm for row in known}
    residual = {row.residual for row in known}
    united = replace(
        known[0],
        attention_output=_either(row.attention_output for row in known),
        ffn_input=tuple(dict.fromkeys(name for row in known for name in row.ffn_input)) if alike else (),
        ffn_output=None if mixed else _either(row.ffn_output for row in known),
        ffn=_either(row.ffn for row in known) if whole else None,
        ffn_norm=norms.pop() if len(norms) == 1 else None,
        residual=residual.pop() if len(residual) == 1 else (),
    )
    for name, row in rows.items():
        for role in ("attention_output", "ffn_output", "ffn"):
            pattern, own = getattr(united, role), getattr(row, role)
            for inner, _ in base_modules(blocks[name]) if pattern else ():
                if re.fullmatch(pattern, inner) and re.escape(inner) != own and own is not None:
                    raise _NoSite(f"{name}.{inner} has the name of the {role} of another block, and is not this one's")
    return united


def _either(patterns: Iterable[str | None]) -> str:
    return "|".join(dict.fromkeys(pattern for pattern in patterns if pattern))
