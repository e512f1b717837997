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

from torch import nn
from transformers import PretrainedConfig

from ..modules import base_modules
from .block import ATTENTION, NoSite, sites_of_block
from .data_flow import observe
from .families import family_of
from .family import Family


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
    except NoSite as reason:
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
                raise NoSite(f"cannot be called with guessed inputs ({reasons.get(name, 'its size is not known')})")
            rows[name] = sites_of_block(block, flows[name])
        except NoSite as reason:
            refused[name] = str(reason)
    complete = [name for name, found in lists.items() if found.keys() <= rows.keys()]
    for name, found in lists.items():
        if not any(_nested(name, other) for other in complete):
            block_name = next(block for block in found if block in refused)
            raise NoSite(f"{block_name} {refused[block_name]}")
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
            if any(map(ATTENTION.search, inner)) and not left_out:
                lists[name] = blocks
    if not lists:
        raise NoSite("it has no list of blocks with an attention in them")
    return lists


def _nested(name: str, other: str) -> bool:
    return name == other or name.startswith(other + ".") or other.startswith(name + ".")


def _united(rows: Mapping[str, Family], blocks: Mapping[str, nn.Module]) -> Family:
    """One row for all blocks. Where only some are mixtures of experts, all FFNs are adapted as a whole.

    Where the FFN is a module in some blocks and none in others, the row has no `ffn_input`: what an adapter beside the
    FFN reads differs.

    Raises:
        NoSite: the FFNs of the blocks do not go together, or names mean one thing here and another thing there.
    """
    known = list(rows.values())
    mixed = any(row.ffn_output is None for row in known)
    whole = all(row.ffn for row in known)
    if mixed and not whole:
        raise NoSite("some of its blocks have a mixture of experts, and others an FFN that is no module")
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
        side_by_side=next((row.side_by_side for row in known if row.side_by_side), None),
        unlike_block=next((f"{name} {row.unlike_block}" for name, row in rows.items() if row.unlike_block), ""),
    )
    for name, row in rows.items():
        for role in ("attention_output", "ffn_output", "ffn"):
            pattern, own = getattr(united, role), getattr(row, role)
            for inner, _ in base_modules(blocks[name]) if pattern else ():
                if re.fullmatch(pattern, inner) and re.escape(inner) != own and own is not None:
                    raise NoSite(f"{name}.{inner} has the name of the {role} of another block, and is not this one's")
    return united


def _either(patterns: Iterable[str | None]) -> str:
    return "|".join(dict.fromkeys(pattern for pattern in patterns if pattern))
