"""One of a few labels for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .base import Example, Features, Kind


class Classification(Kind):
    """Columns `text`, optionally `text_pair`, and `label`, a name or a number."""

    name = "classification"
    columns = ("text", "label")
    optional_columns = ("text_pair",)
    metric = "classification"
    auto_class = "AutoModelForSequenceClassification"
    task_type = "SEQ_CLS"

    def example(self, row: Example) -> Example:
        for column in ("text", "text_pair"):
            if column in row and not isinstance(row[column], str):
                raise ValueError(f"'{column}' must be text, found {row[column]!r}")
        label = row["label"]
        if not isinstance(label, (str, int)) or label == "":
            raise ValueError(f"'label' must be a name or a whole number, found {label!r}")
        return {**row, "label": str(label)}

    def features(
        self, examples: Sequence[Example], tokenizer: Any, labels: Sequence[str], max_length: int
    ) -> Features:
        numbers = {name: number for number, name in enumerate(labels)}
        texts = [[example["text"] for example in examples]]
        if examples and "text_pair" in examples[0]:
            texts.append([example["text_pair"] for example in examples])
        encoded = tokenizer(*texts, truncation=True, max_length=max_length)
        return {**encoded, "labels": [numbers[example["label"]] for example in examples]}

    def collator(self, tokenizer: Any) -> Any:
        from transformers import DataCollatorWithPadding

        return DataCollatorWithPadding(tokenizer)

    def predictions(self, outputs: Any, labels: Sequence[str]) -> list[str]:
        return [labels[number] for number in np.asarray(outputs).argmax(axis=-1)]

    def references(self, examples: Sequence[Example]) -> list[str]:
        return [example["label"] for example in examples]
