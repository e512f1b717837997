"""What every kind answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from ..errors import UserError

Example = dict[str, Any]
Features = dict[str, list[Any]]


class Kind(ABC):
    """From checked examples to model inputs, and from model outputs to predictions and metrics.

    Kinds have no state: what a run needs is passed in.
    """

    name: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    optional_columns: ClassVar[tuple[str, ...]] = ()
    label_column: ClassVar[str] = "label"
    labelled: ClassVar[bool] = True
    """Whether the task has a fixed set of label names."""
    metric: ClassVar[str]
    """The name of its metric in `bench.metrics`."""
    auto_class: ClassVar[str]
    """The transformers class whose models have the kind's head."""
    task_type: ClassVar[str]
    """PEFT's word for it."""

    @abstractmethod
    def example(self, row: Example) -> Example:
        """The row with its values checked and brought into the kind's types.

        Raises:
            ValueError: a value is of the wrong type; the message names column and value.
        """

    def labels_of(self, example: Example) -> Sequence[str]:
        """The label names that the example mentions."""
        return (example[self.label_column],)

    @abstractmethod
    def features(
        self, examples: Sequence[Example], tokenizer: Any, labels: Sequence[str], max_length: int
    ) -> Features:
        """Model inputs by column, one entry per example: at least `input_ids`, `attention_mask` and `labels`."""

    @abstractmethod
    def collator(self, tokenizer: Any) -> Any:
        """Pads a list of features to the longest among them."""

    def outputs(self, logits: Any, labels: Any) -> Any:
        """The part of the model's output that predictions are made from; encoder–decoders return more."""
        return logits[0] if isinstance(logits, tuple) else logits

    @abstractmethod
    def predictions(self, outputs: Any, labels: Sequence[str]) -> list[Any]:
        """What the model said, as the metric takes it, one entry per example."""

    @abstractmethod
    def references(self, examples: Sequence[Example]) -> list[Any]:
        """What it should have said, as the metric takes it."""

    def check_model(self, name: str, config: Any) -> None:
        """Refuses a model that has no head for this kind.

        Raises:
            UserError: `name` is an architecture that transformers' `auto_class` does not know.
        """
        import transformers

        auto_class = getattr(transformers, self.auto_class)
        if type(config) not in auto_class._model_mapping:
            raise UserError(
                f"model '{name}' does not fit {self.name}: "
                f"transformers has no {self.auto_class} for its architecture '{config.model_type}'"
            )

    def model_options(self, labels: Sequence[str]) -> dict[str, Any]:
        """What the model's configuration must be told about the task."""
        return {
            "num_labels": len(labels),
            "id2label": dict(enumerate(labels)),
            "label2id": {name: number for number, name in enumerate(labels)},
        }
