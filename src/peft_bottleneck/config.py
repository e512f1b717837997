"""What the three methods have in common in their configuration; every field is documented here, once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from .bottleneck import ACTIVATIONS, FORMS, INIT_METHODS
from .cards import write_card
from .composition import Composition, composition_of
from .coupling import COUPLINGS
from .phm import Phm
from .registration import PeftConfig, PeftType


@dataclass
class BottleneckConfig(PeftConfig):  # type: ignore[misc]
    """Configuration shared by `HoulsbyConfig`, `PfeifferConfig` and `ParallelAdapterConfig`.

    Each trains bottlenecks `B(x) = s·(W_up φ(W_down x + b_down) + b_up)` with `W_down ∈ R^{r×d}`, `W_up ∈ R^{d×r}`.

    Args:
        reduction_factor: `r = max(1, d // reduction_factor)`. Exactly one of `reduction_factor` and
            `bottleneck_size` is in force; if neither is given, the method's own default is (16, 16, and 2).
        bottleneck_size: `r` itself.
        bottleneck_size_pattern: `r` for some modules, as LoRA's `rank_pattern`: regular expressions of module names
            (matched at their end) to sizes; other modules keep the size above.
        non_linearity: `φ`, by the name that transformers gives it (`relu`, `gelu`, `silu`, …), `swish` for `silu`, or
            `identity`.
        dropout: probability of zeroing an element of `B(x)` in training.
        scaling: `s`: a number, `"learned"` (one trained number, starting at 1) or `"channel"` (one trained number per
            output channel, starting at 1).
        use_bias: whether the maps have biases.
        bottleneck: what is between the two maps: `"plain"` is the equation above, `"gated"` is
            `s·(W_up (φ(W_gate x + b_gate) ⊙ (W_down x + b_down)) + b_up)` (GLU variants, Shazeer 2020), `"conv"` is
            `s·(W_up φ(c ⊛ (W_down x + b_down)) + b_up)`, a depth-wise convolution over tokens (ST-Adapter, Pan et al.
            2022), causal in causal models.
        kernel_size: taps of each kernel of `"conv"`; odd.
        use_gating: multiply `B(x)` by one number per example, `σ(w·x + c)` averaged over its tokens, `w` and `c`
            trained (UniPELT, Mao et al. 2022). A step of cached generation averages over the tokens of that step.
        ln_before: normalise `x` by a trained LayerNorm of the bottleneck's own.
        ln_after: normalise `B(x)` likewise.
        adapter_residual_before_ln: with `ln_after`: normalise `y + B(x)` in place of `B(x)`, `y` being what `B(x)` is
            added to. Such an adapter is no no-op at the start.
        stochastic_depth: probability of leaving `B(x)` out for an example in training; what is left is divided by its
            complement (Adapter+, Steitz and Roth 2024).
        phm_dim: None: ordinary maps. `n`: sums of `n` Kronecker products in place of `W_down`, `W_up` and `W_gate`, as
            in Compacter (Mahabadi et al. 2021), whose `n` is 4; `peft_bottleneck.phm` has the equation. `n` divides
            the sizes of all maps. These maps are initialised Glorot-uniformly.
        phm_rank: rank of the second factors of the products; None: they are not factorised.
        shared_phm_rule: whether all maps of the adapter share the first factors, the rule.
        factorized_phm_rule: whether each matrix of the rule is a product of a column and a row.
        shared_phm_weights: whether all `W_down` share the second factors, and all `W_up`, and all `W_gate`.
        learn_phm: whether the rule is trained.
        invertible: `"nice"` or `"glow"`: also put an invertible adapter after the embeddings, and its inverse before
            the output embeddings of a language model (`peft_bottleneck.coupling`), as language adapters have it in
            MAD-X (Pfeiffer et al. 2020); None: none. `use_bias`, `phm_dim` and the fields on norms, gating and
            dropout do not apply to it.
        invertible_reduction_factor: that of the two bottlenecks in the invertible adapter; each reads half of the
            channels.
        invertible_modules: the module whose output the invertible adapter maps, a regular expression; None takes the
            end of the embeddings by the model's family, or the token embeddings.
        init_weights: True starts as an exact no-op (`W_up` and the biases are zero); False initialises `W_up` as it
            does `W_down`.
        init_method: how weights are initialised: `"kaiming"` (uniform, a=√5; He et al. 2021), `"bert"` (N(0, 0.02²);
            AdapterHub's default together with `init_weights=False`) or `"houlsby"` (N(0, 0.01²) truncated at two
            standard deviations; Houlsby et al. 2019).
        target_modules: the modules to adapt. A string is a regular expression of the whole module name, a list holds
            names or their last parts; None takes the sites of the model's family (`peft_bottleneck.sites.families`),
            or, for an unknown family, those that a call of the model shows.
        exclude_modules: modules not to adapt, in the same notation. For an unknown family, blocks that a regular
            expression matches are not looked at either.
        layers_to_transform: indices of the blocks to adapt; None is all.
        layers_pattern: name of the list of blocks, where the first number in a module's name is not the block's.
        modules_to_save: further modules to train in full and to save with the adapter, a task head for example.
        trainable_token_indices: tokens whose embeddings are trained and saved with the adapter: a list, or lists by
            the name of the embedding module.
        ensure_weight_tying: whether embeddings that `modules_to_save` or `trainable_token_indices` train stay tied to
            the output embeddings, in a model that ties both.
        composition: for an adapter made of others on the model, `peft_bottleneck.fuse` and `average` set this; the
            fields about bottlenecks then have no effect.

    Raises:
        ValueError: a value that is not among the choices, or two that exclude each other; the message names both.
    """

    reduction_factor: float | None = field(default=None, metadata={"help": "r = max(1, d // reduction_factor)"})
    bottleneck_size: int | None = field(default=None, metadata={"help": "r itself, in place of reduction_factor"})
    bottleneck_size_pattern: dict[str, int] = field(
        default_factory=dict, metadata={"help": "r for modules whose name ends with a match of the expression"}
    )
    non_linearity: str = field(default="relu", metadata={"help": "the activation function φ"})
    dropout: float = field(default=0.0, metadata={"help": "dropout probability on B(x)"})
    scaling: float | str = field(default=1.0, metadata={"help": "s: a number, 'learned' or 'channel'"})
    use_bias: bool = field(default=True, metadata={"help": "whether the maps have biases"})
    bottleneck: str = field(default="plain", metadata={"help": "'plain', 'gated' or 'conv'"})
    kernel_size: int = field(default=3, metadata={"help": "taps of each kernel of bottleneck='conv'"})
    use_gating: bool = field(default=False, metadata={"help": "multiply B(x) by a trained gate per example"})
    ln_before: bool = field(default=False, metadata={"help": "normalise x"})
    ln_after: bool = field(default=False, metadata={"help": "normalise B(x)"})
    adapter_residual_before_ln: bool = field(default=False, metadata={"help": "ln_after normalises y + B(x)"})
    stochastic_depth: float = field(default=0.0, metadata={"help": "probability of leaving B(x) out for an example"})
    phm_dim: int | None = field(default=None, metadata={"help": "number of Kronecker products that sum up to a map"})
    phm_rank: int | None = field(default=1, metadata={"help": "rank of the second factors; None: full"})
    shared_phm_rule: bool = field(default=True, metadata={"help": "share the first factors, the rule"})
    factorized_phm_rule: bool = field(default=False, metadata={"help": "each matrix of the rule is of rank 1"})
    shared_phm_weights: bool = field(default=False, metadata={"help": "share the second factors"})
    learn_phm: bool = field(default=True, metadata={"help": "train the rule"})
    invertible: str | None = field(default=None, metadata={"help": "'nice' or 'glow' after the embeddings"})
    invertible_reduction_factor: float = field(default=2, metadata={"help": "of the invertible adapter"})
    invertible_modules: str | None = field(default=None, metadata={"help": "the module that ends the embeddings"})
    init_weights: bool = field(default=True, metadata={"help": "True: an exact no-op at the start"})
    init_method: str = field(default="kaiming", metadata={"help": "'kaiming', 'bert' or 'houlsby'"})
    target_modules: list[str] | str | None = field(
        default=None, metadata={"help": "modules to adapt; None: the sites of the model's family"}
    )
    exclude_modules: list[str] | str | None = field(default=None, metadata={"help": "modules not to adapt"})
    layers_to_transform: list[int] | int | None = field(default=None, metadata={"help": "blocks to adapt"})
    layers_pattern: list[str] | str | None = field(default=None, metadata={"help": "name of the list of blocks"})
    modules_to_save: list[str] | None = field(
        default=None, metadata={"help": "further modules to train in full and save with the adapter"}
    )
    trainable_token_indices: list[int] | dict[str, list[int]] | None = field(
        default=None, metadata={"help": "tokens whose embeddings are trained and saved with the adapter"}
    )
    ensure_weight_tying: bool = field(
        default=False, metadata={"help": "whether trained embeddings stay tied to the output embeddings"}
    )

    composition: Composition | dict[str, Any] | None = field(
        default=None, metadata={"help": "for an adapter that is made of others: a fusion or an average"}
    )

    default_reduction_factor: ClassVar[float] = 16
    peft_type_name: ClassVar[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType(self.peft_type_name)
        if self.reduction_factor is None and self.bottleneck_size is None:
            self.reduction_factor = self.default_reduction_factor
        for name in ("target_modules", "exclude_modules"):
            value = getattr(self, name)
            if isinstance(value, (list, tuple, set)):
                setattr(self, name, set(value))
        self.composition = composition_of(self.composition)
        problems = list(self._problems())
        if problems:
            raise ValueError(f"{type(self).__name__}: " + "; ".join(problems))

    @property
    def phm(self) -> Phm | None:
        """How the maps are parameterised; None: as ordinary ones."""
        if self.phm_dim is None:
            return None
        return Phm(
            dim=self.phm_dim,
            rank=self.phm_rank,
            shared_rule=self.shared_phm_rule,
            shared_weights=self.shared_phm_weights,
            factorized_rule=self.factorized_phm_rule,
            learned_rule=self.learn_phm,
        )

    def size_for(self, module_name: str, features: int) -> int:
        """`r` for a module of this name whose bottleneck reads `features` channels."""
        for pattern, size in self.bottleneck_size_pattern.items():
            if re.match(rf"(.*\.)?({pattern})$", module_name):
                return size
        if self.bottleneck_size is not None:
            return self.bottleneck_size
        assert self.reduction_factor is not None  # by `__post_init__`
        return max(1, int(features // self.reduction_factor))

    def save_pretrained(self, save_directory: str, **kwargs: object) -> None:
        """Saves the configuration as PEFT does, and completes the model card beside it."""
        super().save_pretrained(save_directory, **kwargs)
        self.complete_card(save_directory)

    def complete_card(self, folder: str) -> None:
        """Writes into the model card of this folder which method the adapter is of, and how to load it."""
        write_card(Path(folder), self)

    def _upload_modified_files(self, working_dir: str, *args: object, **kwargs: object) -> object:
        self.complete_card(working_dir)  # again: `push_to_hub` puts an empty one in its place
        return super()._upload_modified_files(working_dir, *args, **kwargs)

    def _problems(self) -> Iterator[str]:
        """What is wrong with the values, one sentence for each problem."""
        if self.reduction_factor is not None and self.bottleneck_size is not None:
            yield (
                "reduction_factor and bottleneck_size exclude each other, got "
                f"{self.reduction_factor!r} and {self.bottleneck_size!r}"
            )
        if self.reduction_factor is not None and not (_is_number(self.reduction_factor) and self.reduction_factor > 0):
            yield wrong("reduction_factor", self.reduction_factor, "a number above 0")
        if self.bottleneck_size is not None and not _is_size(self.bottleneck_size):
            yield wrong("bottleneck_size", self.bottleneck_size, "an integer above 0")
        for pattern, size in self.bottleneck_size_pattern.items():
            if not _is_size(size):
                yield wrong(f"bottleneck_size_pattern[{pattern!r}]", size, "an integer above 0")
            yield from _expression_problems("bottleneck_size_pattern key", pattern)
        if self.non_linearity not in ACTIVATIONS:
            yield wrong_choice("non_linearity", self.non_linearity, ACTIVATIONS)
        if not (_is_number(self.dropout) and 0 <= self.dropout < 1):
            yield wrong("dropout", self.dropout, "a number in [0, 1)")
        if not (_is_number(self.scaling) or self.scaling in ("learned", "channel")):
            yield wrong("scaling", self.scaling, "a number, 'learned' or 'channel'")
        for flag in fields(self):
            if flag.type == "bool" and not isinstance(getattr(self, flag.name), bool):
                yield wrong(flag.name, getattr(self, flag.name), "True or False")
        if self.adapter_residual_before_ln is True and self.ln_after is False:
            yield "adapter_residual_before_ln=True needs ln_after=True"
        if self.bottleneck not in FORMS:
            yield wrong_choice("bottleneck", self.bottleneck, FORMS)
        if not (_is_size(self.kernel_size) and self.kernel_size % 2 == 1):
            yield wrong("kernel_size", self.kernel_size, "an odd number of tokens above 0")
        if not (_is_number(self.stochastic_depth) and 0 <= self.stochastic_depth < 1):
            yield wrong("stochastic_depth", self.stochastic_depth, "a number in [0, 1)")
        for name in ("phm_dim", "phm_rank"):
            if getattr(self, name) is not None and not _is_size(getattr(self, name)):
                yield wrong(name, getattr(self, name), "an integer above 0, or None")
        if self.invertible not in (None, *COUPLINGS):
            yield wrong_choice("invertible", self.invertible, (None, *COUPLINGS))
        if not (_is_number(self.invertible_reduction_factor) and self.invertible_reduction_factor > 0):
            yield wrong("invertible_reduction_factor", self.invertible_reduction_factor, "a number above 0")
        if self.init_method not in INIT_METHODS:
            yield wrong_choice("init_method", self.init_method, INIT_METHODS)
        for name in ("target_modules", "exclude_modules", "invertible_modules"):
            if isinstance(getattr(self, name), str):
                yield from _expression_problems(name, getattr(self, name))
        if self.composition is not None and not isinstance(self.composition, dict):
            yield from self.composition.problems()
        indices = self.layers_to_transform
        if indices is not None and not all(_is_integer(index) and index >= 0 for index in as_list(indices)):
            yield wrong("layers_to_transform", indices, "a block index from 0 on, or a list of them")
        if self.layers_pattern and indices is None:
            yield "When `layers_pattern` is specified, `layers_to_transform` must also be specified."


def as_list(value: Any) -> list[Any]:
    """A list of the value, or the value itself if it is a list."""
    return list(value) if isinstance(value, (list, tuple, set)) else [value]


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_size(value: Any) -> bool:
    return _is_integer(value) and value > 0


def wrong(name: str, value: Any, wanted: str) -> str:
    """The message for a value that its field does not take."""
    return f"{name} must be {wanted}, got {value!r}"


def wrong_choice(name: str, value: object, choices: Iterable[object]) -> str:
    """The message for a value that is none of the choices, with the nearest of them."""
    known = list(choices)
    message = wrong(name, value, "one of " + ", ".join(map(repr, known)))
    near = difflib.get_close_matches(str(value), map(str, known), n=1)
    return f"{message}; did you mean {near[0]!r}?" if near else message


def _expression_problems(name: str, expression: str) -> Iterator[str]:
    try:
        re.compile(expression)
    except re.error as error:
        yield f"{name} is not a regular expression ({error}), got {expression!r}"
