"""The interface of every kind, and its knowledge of a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import torch
import transformers
from transformers import DataCollatorWithPadding, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from ..converters import Example as Example
from ..errors import UserError
from ..models.base_model import BaseModel  # it imports torch
from ..statistics.samples import FloatArray
from ..tasks import Task
from .prompts import never_empty

# The fields of a task that concern some kinds only.
SETTINGS = ("labels", "scheme", "class_weights", "negative_label", "prompt", "source_prefix", "markers")

Answers = list[Any]  # predictions or references, one entry per example, in the form of the kind's metric
Outputs = Sequence[Any]  # one array per row of the inputs
Columns = dict[str, list[Any]]  # model inputs: one entry per row
Collator = Callable[[list[Example]], Mapping[str, Any]]
Loss = Callable[..., Any]  # of a model's output and the labels; `num_items_in_batch` as `Trainer` gives it
IGNORED = -100  # the label of a token that no loss counts


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a kind needs besides the examples. A saved adapter keeps it, and so works without its task.

    Args:
        labels: the label names in the order of their numbers; empty for kinds without labels.
        max_length: of an input, in tokens.
        prompt: for kinds that generate: the input, with the kind's source column in braces.
        markers: for relation extraction: the words that mark the entities, in the order of their embeddings.
        generation: for kinds that generate: `max_new_tokens` and other arguments of `generate`.
        class_weights: of each label in the loss; empty where all count alike.
        thresholds: for several labels per example: the probability from which each label is given.
        center: for scores: their mean in train.
        spread: for scores: their standard deviation in train. The model learns `(score - center) / spread`.
    """

    model: BaseModel
    labels: tuple[str, ...]
    max_length: int
    prompt: str = ""
    markers: tuple[str, ...] = ()
    generation: Mapping[str, Any] = field(default_factory=dict)
    class_weights: tuple[float, ...] = ()
    thresholds: tuple[float, ...] = ()
    center: float = 0.0
    spread: float = 1.0


@dataclass(frozen=True)
class Encoded:
    """Examples as model inputs.

    Args:
        columns: one list per input, one entry per row.
        examples: the example that each row belongs to: a long text may take several rows.
        cut: the number of examples that are cut to `max_length`.
        cut_targets: the number of targets that are cut to the length that the model may write.
        words: for token kinds: the words that each row has an output for, in order.
    """

    columns: Columns
    examples: Sequence[int]
    cut: int = 0
    words: Sequence[Sequence[int]] = ()
    cut_targets: int = 0

    @property
    def lengths(self) -> list[int]:
        """Of each row, in tokens; 1 for inputs that are no text."""
        rows = next(iter(self.columns.values()))
        return [len(ids) for ids in self.columns["input_ids"]] if "input_ids" in self.columns else [1] * len(rows)


class Kind(ABC):
    """From checked examples to model inputs, and from model outputs to predictions.

    Kinds have no state; the `Context` holds what differs between runs.
    """

    name: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    """What an example has; the last one is what is predicted."""
    optional_columns: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar[tuple[str, ...]]
    """The package's metrics that score it, the usual one first."""
    label_column: ClassVar[str] = ""
    """The column that names labels, in kinds that have a fixed set of them."""
    fewest_labels: ClassVar[int] = 2
    head_class: ClassVar[str]
    peft_task: ClassVar[str]
    """What `auto_class` and `task_type` give where they do not depend on the model."""
    settings: ClassVar[tuple[str, ...]] = ()
    """The fields of a task that have an effect on this kind, of those in `SETTINGS`."""
    calibrates: ClassVar[bool] = False
    """Whether outputs for the validation examples decide about later predictions; see `calibrated`."""
    scores_labels: ClassVar[bool] = False
    """Whether `outputs` needs labels, which are then what the model scores."""
    generates: ClassVar[bool] = False
    """Whether the output is text that the model generates."""
    reads_text: ClassVar[bool] = True
    fresh_head: ClassVar[bool] = True
    """Whether the model has a head for the task that no pretraining has seen."""

    def required(self, task: Task) -> tuple[str, ...]:
        """The columns that every example of `task` has."""
        return self.columns

    def optional(self, task: Task) -> tuple[str, ...]:
        """The columns that the examples of `task` may have, all of them or none."""
        return self.optional_columns

    def parts(self, example: Example) -> dict[str, bool]:
        """The optional columns that this example has; all examples of a task have them, or none."""
        return {column: column in example for column in self.optional_columns}

    def check_task(self, task: Task) -> None:
        """Refuses settings that have no effect on this kind.

        Raises:
            UserError: names every one.
        """
        defaults = {field.name: field.default for field in fields(task)}
        without = [
            f"task '{task.name}': {name}: it has no effect on {self.name}"
            for name in SETTINGS
            if name not in self.settings and getattr(task, name) != defaults[name]
        ]
        if without:
            raise UserError(*without)

    def prompt_for(self, task: Task, config: PretrainedConfig) -> str:
        """What a model of this configuration reads, with columns in braces; empty for kinds without a prompt."""
        return ""

    @abstractmethod
    def example(self, row: Example) -> Example:
        """The row with its values checked and brought into the kind's types.

        Raises:
            ValueError: a value is of the wrong type; the message names column and value.
        """

    @abstractmethod
    def stand_in(self, row: Example, context: Context) -> object:
        """A value for the last column of a row without one, so that the row can be encoded."""

    def labels_of(self, example: Example) -> Sequence[str]:
        """The label names that the example mentions."""
        return (example[self.label_column],) if self.label_column else ()

    @property
    def predicted(self) -> tuple[str, ...]:
        """The columns that the model does not read."""
        return self.columns[-1:]

    def class_weights(self, counts: Mapping[str, int], examples: int, labels: Sequence[str]) -> tuple[float, ...]:
        """`n / (k n_l)` for each of `k` labels `l` of `n` examples, as scikit-learn balances them."""
        return tuple(examples / (len(labels) * counts[name]) if counts.get(name) else 1.0 for name in labels)

    def scale(self, examples: Sequence[Example]) -> tuple[float, float]:
        """`center` and `spread` of the context, from the training examples.

        Raises:
            ValueError: the scores are too large for a standard deviation.
        """
        return 0.0, 1.0

    def loss(self, context: Context) -> Loss | None:
        """The loss where it is not the model's own, as `Trainer` takes it (`compute_loss_func`); else None."""
        return None

    def calibrated(self, outputs: Outputs, examples: Sequence[Example], context: Context) -> Context:
        """`context`, with the settings of later predictions that the outputs on validation decide."""
        return context

    def probabilities(self, output: FloatArray, context: Context) -> dict[str, float]:
        """The probability of each label by name; empty for kinds that give none."""
        return {}

    def input_text(self, example: Example) -> str:
        """The model's input from an example, as one text."""
        return "\t".join(str(example[column]) for column in ("text", "text_pair") if column in example)

    def references(self, examples: Sequence[Example]) -> Answers:
        """The references in the form of the metric, one entry per example."""
        return [example[self.columns[-1]] for example in examples]

    def auto_class(self, config: PretrainedConfig) -> str:
        """The transformers class whose models have the kind's head."""
        return self.head_class

    def task_type(self, config: PretrainedConfig) -> str:
        """PEFT's name for it."""
        return self.peft_task

    def model_options(self, context: Context) -> dict[str, object]:
        """The fields of the model's configuration that depend on the task."""
        return {}

    def check_model(self, model: BaseModel) -> None:
        """Refuses a model that has no head for this kind.

        Raises:
            UserError: transformers' class for the kind does not know the architecture.
        """
        auto_class = getattr(transformers, self.auto_class(model.config))
        if type(model.config) not in auto_class._model_mapping:
            raise UserError(
                f"model '{model.name}' does not fit {self.name}: "
                f"transformers has no {auto_class.__name__} for its architecture '{model.config.model_type}'"
            )

    def load(self, context: Context) -> PreTrainedModel:
        """The model, with its weights, and with a fresh head where the kind needs one."""
        return context.model.load(self.auto_class(context.model.config), **self.model_options(context))

    def check_weights(self, context: Context) -> None:
        """Refuses a directory whose weights do not fit its configuration, as `load` does.

        Raises:
            UserError: names the weight and both shapes.
        """
        context.model.check_weights(self.auto_class(context.model.config), **self.model_options(context))

    def skeleton(self, context: Context) -> PreTrainedModel:
        """The same model on the current device, without reading weights."""
        return context.model.skeleton(self.auto_class(context.model.config), **self.model_options(context))

    @abstractmethod
    def encode(self, examples: Sequence[Example], context: Context, *, training: bool) -> Encoded:
        """Model inputs with labels; for training, or for evaluation, where a kind that generates has no target."""

    def collator(self, context: Context, *, training: bool) -> Collator:
        """Pads a list of rows to the longest among them."""
        collate: Collator = DataCollatorWithPadding(context.model.tokenizer)
        return collate

    def outputs(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The part of the model's output that predictions are made from; encoder–decoders return more."""
        return logits[0] if isinstance(logits, tuple) else logits

    @abstractmethod
    def predictions(
        self, outputs: Outputs, encoded: Encoded, examples: Sequence[Example], context: Context
    ) -> Answers:
        """The predictions in the form of the metric, one entry per example; `outputs` has one entry per row."""


def texts_of(example: Example) -> list[str]:
    """One text, or a pair of them.

    Raises:
        ValueError: a value is not text.
    """
    texts = [example[column] for column in ("text", "text_pair") if column in example]
    for column, text in zip(("text", "text_pair"), texts, strict=False):
        if not isinstance(text, str):
            raise ValueError(f"'{column}' must be text, found {text!r}")
    return texts


def encode_texts(examples: Sequence[Example], context: Context) -> tuple[Columns, int]:
    """The inputs for texts or pairs of them, cut to `max_length`, and how many were cut."""
    texts = [texts_of(example) for example in examples]
    tokenizer = context.model.tokenizer
    encoded = tokenizer(
        *(list(column) for column in zip(*texts, strict=True)),
        truncation=True,
        max_length=context.max_length,
    )
    return filled_up(dict(encoded), tokenizer), sum(bool(encoding.overflowing) for encoding in encoded.encodings)


def filled_up(columns: Columns, tokenizer: PreTrainedTokenizerBase) -> Columns:
    """`columns`, with one token in rows that have none: those of empty texts, where a model has no special tokens."""
    for row, ids in enumerate(columns["input_ids"]):
        if not ids:
            for name, values in columns.items():
                values[row] = never_empty([], tokenizer) if name == "input_ids" else [int(name == "attention_mask")]
    return columns
