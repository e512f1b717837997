"""The sites of one block, read off what it computes when it is called, as a row.

The last map of the attention that the rest of the block reads ends the attention. An FFN is maps that lead from the
residual stream to another size, and one that leads back. What the call does not show is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from ..modules import base_modules, has_experts, is_experts, is_norm
from .data_flow import INPUT, BlockFlow, same_storage
from .family import Family, SideBySide

ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
_INSTEAD = ("mamba", "conv")  # what takes the place of the attention in some blocks
_CROSS = re.compile(r"cross|encoder_attn|encdec", re.IGNORECASE)
_NOT_MAPS = re.compile(r"norm|dropout|drop_path", re.IGNORECASE)
_NOT_FFN = re.compile(rf"attn|attention|norm|^(?:{'|'.join(_INSTEAD)})\.", re.IGNORECASE)

FFN = tuple[list[str], str]  # the maps that read the input of an FFN, and the one that writes its output


class NoSite(Exception):
    """Why a model, or a block of it, shows no sites."""


def sites_of_block(block: nn.Module, flow: BlockFlow) -> Family:
    """The row of one block.

    Raises:
        NoSite: the call shows no attention or no FFN.
    """
    modules = dict(base_modules(block))
    attention_output = _attention_output(flow)
    hidden = flow.calls[attention_output].sizes[1]
    row = Family((), "", re.escape(attention_output), (), None, ffn_size={})
    mixture = _mixture(modules, flow)
    ffns = _ffns(flow, hidden)
    if mixture is not None:
        return replace(
            row,
            ffn=re.escape(mixture),
            residual=_residual(flow, mixture, mixture),
            unlike_block=_unlike(flow, mixture),
            side_by_side=_side_by_side(flow, ffns, mixture, mixture),
        )
    reads, back = _widest(flow, ffns, hidden)
    ffn = _own_module(flow, reads, back)
    joined = _side_by_side(flow, ffns, reads[0], back)
    norm = None if joined else _final_norm(flow, back)
    return replace(
        row,
        ffn_input=tuple(map(re.escape, reads)),
        ffn_output=re.escape(back),
        ffn=None if ffn is None else re.escape(ffn),
        ffn_norm=None if norm is None else re.escape(norm),
        residual=() if norm is not None else _residual(flow, reads[0], ffn or reads[0]),
        unlike_block=_unlike(flow, back),
        side_by_side=joined,
    )


def _side_by_side(flow: BlockFlow, ffns: list[FFN], read: str, ffn: str) -> SideBySide | None:
    """Another FFN of a block, where neither reads what the other writes: the block joins what both write.

    So is one that the call left out: other inputs go through it, as a text beside the queries of a Q-Former does.
    """
    stream, before = flow.feeding(flow.calls[read].sources), flow.behind(flow.calls[read].sources)
    for reads, back in ffns:
        sources = flow.calls[reads[0]].sources
        # What experts write, no map shows: beside them, another FFN reads the same stream.
        apart = ffn in flow.maps and back not in before and ffn not in flow.behind(sources)
        if back == ffn or back.startswith(ffn + ".") or not (apart or flow.feeding(sources) == stream):
            continue
        inner, hidden = flow.calls[back].sizes
        if inner >= hidden or (inner and read == ffn):  # beside an FFN a narrow one is an adapter of the model's own
            one_input = _same(flow.calls[reads[0]].reads, flow.calls[read].reads)
            return SideBySide((re.escape(ffn), re.escape(back)), one_input)
    for name, call in flow.calls.items():  # experts that are the block's own, outside of a mixture's module
        if is_experts(name) and not name.startswith(ffn + ".") and flow.feeding(call.sources) == stream:
            return SideBySide((re.escape(ffn), re.escape(name)), _same(call.reads, flow.calls[read].reads))
    if ffn in flow.maps:
        inner, hidden = flow.calls[ffn].sizes
        idle = [name for name, shape in flow.idle.items() if set(shape) == {inner, hidden} and inner != hidden]
        idle = [name for name in idle if not _NOT_FFN.search(name) and not is_experts(name)]
        if idle:
            return SideBySide((re.escape(ffn), re.escape(idle[-1])), one_input=False)
    return None


def _unlike(flow: BlockFlow, ffn: str) -> str:
    """What a block returns in its last dimension and what its FFN writes, where the two differ."""
    writes = flow.calls[ffn].sizes[1]
    return (
        ""
        if writes == flow.returns
        else f"returns {flow.returns} channels in its last dimension, and its FFN writes {writes}"
    )


def _attention_output(flow: BlockFlow) -> str:
    """The last map of the self-attention that writes the block's size.

    A block whose only attention is to another sequence gives that one's. An attention or a recurrence whose kernels
    read the weights of its maps and do not call them is adapted as a whole. A map that only other maps of the
    attention read, as one that mixes several residual streams for it, does not end it; nor does a gate, which
    multiplies what it reads.
    """
    attentive = [name for name in flow.calls if ATTENTION.search(name) and not _NOT_MAPS.search(name)]
    gating = flow.gates | {name for name, call in flow.calls.items() if call.sources and call.sources <= flow.gates}
    attentive = [name for name in attentive if name not in gating]
    inside = [name for name in attentive if not _CROSS.search(name)] or attentive
    reached = flow.behind(flow.result)
    read = flow.feeding(flow.result).union(
        *(flow.feeding(flow.calls[name].sources) for name in (flow.maps & reached).difference(attentive))
    )
    maps = [name for name in inside if name in flow.maps & reached & read]
    writing = [name for name in maps if flow.calls[name].sizes[1] == flow.width]
    whole = [name for name in (*reversed(inside), *_INSTEAD) if name in flow.calls and name not in flow.maps]
    whole = [name for name in whole if flow.calls[name].sizes == (flow.width, flow.width)]
    for found in (writing, whole[:1], maps):
        if found:
            return found[-1]
    raise NoSite("has no attention that its output depends on")


def _ffns(flow: BlockFlow, hidden: int) -> list[FFN]:
    """The maps that read the input and write the output of each FFN of a block, in the order of their calls."""
    outside = [name for name in flow.calls if name in flow.maps and not _NOT_FFN.search(name)]
    reached = flow.behind(flow.result)
    found: list[FFN] = []
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
    return found


def _widest(flow: BlockFlow, ffns: list[FFN], hidden: int) -> FFN:
    """The widest FFN of a block, the last of several: the narrower ones are adapters of the model's own."""
    if not ffns:
        raise NoSite(f"has no FFN: no linear maps that lead from {hidden} channels to others and back to them")
    widest = max(flow.calls[back].sizes[0] for _, back in ffns)
    return [ffn for ffn in ffns if flow.calls[ffn[1]].sizes[0] == widest][-1]


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
    """Whether two tensors without values are one in one form or another: a slice of one is not."""
    return same_storage(one, other) and one.numel() == other.numel() and one.storage_offset() == other.storage_offset()


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
