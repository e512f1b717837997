"""Where bottlenecks sit: the modules of a block by the part they play, and the modules that a method adapts.

A family is post-LN, `norm(x + f(x))`, or pre-LN, `x + f(norm(x))`. It names modules by regular expressions relative to
a block. `families` has one row per known family; `structure` makes one for other models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SideBySide:
    """Two FFNs of a block, `f` and `g`, that read the same residual stream: the block joins `f(x)` and `g(x')`.

    Attributes:
        outputs: the modules that end them.
        one_input: whether `x` and `x'` are one tensor, so that what is added to `f(x)` is added to their sum.
    """

    outputs: tuple[str, str]
    one_input: bool


@dataclass(frozen=True)
class Family:
    """One row.

    Attributes:
        model_types: `config.model_type` of the models of this family.
        block: a transformer block, wherever the model has it.
        attention_output: the projection that ends self-attention (cross-attention has no site in the reference).
        ffn_input: the linear maps that read the FFN's input: one, or gate and up.
        ffn_output: the linear map that ends the FFN; None where there is no such module (a mixture of experts).
        ffn: a module whose input and output are exactly the FFN's; None where the block computes the FFN itself.
        ffn_norm: post-LN: the norm after the FFN. None: pre-LN.
        residual: pre-LN: what reads the residual stream before the FFN, a norm as a rule; the first that exists does.
        ffn_size: where the configuration keeps the FFN's width, by a part of the block's name ("" for any). Empty: it
            keeps none, or `widths` searches for it.
        embeddings: modules that may end the embeddings, the first that exists does. Empty: the token embeddings do.
        when: values of the model's configuration that the row holds for.
        unlike_block: a block that returns other channels than its FFN writes, with both numbers. "": there is none.
        side_by_side: FFNs side by side, as a mixture of experts and a shared FFN outside of it are in some models.
    """

    model_types: tuple[str, ...]
    block: str
    attention_output: str
    ffn_input: tuple[str, ...]
    ffn_output: str | None
    ffn: str | None = None
    ffn_norm: str | None = None
    residual: tuple[str, ...] = ()
    ffn_size: Mapping[str, str] = field(default_factory=lambda: {"": "intermediate_size"})
    embeddings: tuple[str, ...] = ()
    when: Mapping[str, object] = field(default_factory=dict)
    unlike_block: str = ""
    side_by_side: SideBySide | None = None

    def path(self, *names: str | None) -> str:
        """A regular expression for these modules of every block; its group `block` is the block's name."""
        assert all(names), f"the row of {self.model_types} lacks a module"
        return rf"(?P<block>(?:.*\.)?{self.block})\.(?:{'|'.join(map(str, names))})"

    def written(self, *names: str | None) -> str:
        """The same as a user would write it: `r".*layers\\.\\d+\\.(?:self_attn\\.o_proj|mlp)"`."""
        ends = "|".join(str(name) for name in names if name)
        return rf'r".*{self.block}\.' + (f'(?:{ends})"' if "|" in ends else f'{ends}"')


@dataclass(frozen=True)
class Site:
    """Which modules a method adapts in a model, as a configuration saves it.

    Attributes:
        target_modules: a regular expression of the modules that keep the weights.
        input_modules: parallel: the modules whose input the bottlenecks read, as a template that is expanded on the
            match of `target_modules`; None: the target's own.
        output_modules: Pfeiffer: the modules whose output the bottlenecks adapt, likewise.
    """

    target_modules: str
    input_modules: str | None = None
    output_modules: str | None = None


def in_block(name: str) -> str:
    """The template for the module that a row calls `name`."""
    return rf"\g<block>.{name}".replace(r"\.", ".")
