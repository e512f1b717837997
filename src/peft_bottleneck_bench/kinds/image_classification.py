"""One of a few labels for an image."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..statistics.samples import FloatArray
from .base import Answers, Collator, Columns, Context, Encoded, Example, Kind, Loss, Outputs
from .classification import label_name, label_options, softmax, weighted_loss

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


class ImageClassification(Kind):
    """Columns `image`, the path of a file or the image feature of `datasets`, and `label`, a name or a whole number.

    Images are opened batch by batch, and scaled and normalised by the model's own image processor.
    """

    name = "image_classification"
    columns = ("image", "label")
    metrics = ("classification",)
    label_column = "label"
    settings = ("labels", "class_weights")
    reads_text = False

    def example(self, row: Example) -> Example:
        image = row["image"]
        if isinstance(image, Mapping):
            if not image.get("bytes") and not image.get("path"):
                raise ValueError("'image' holds neither bytes nor a path")
            image = image["bytes"] if image.get("bytes") else image["path"]
        if not isinstance(image, (str, bytes)):
            raise ValueError(f"'image' must be the path of a file, found {image!r}")
        if isinstance(image, str) and not Path(image).is_file():
            raise ValueError(f"'image': {image}: no such file")
        return {"image": image, "label": label_name(row, "label")}

    def stand_in(self, row: Example, context: Context) -> object:
        return context.labels[0]

    def references(self, examples: Sequence[Example]) -> Answers:
        return [example["label"] for example in examples]

    def input_text(self, example: Example) -> str:
        """The image's bytes, as text: equal images have equal ones."""
        image = example["image"]
        return (Path(image).read_bytes() if isinstance(image, str) else image).decode("latin-1")

    def auto_class(self, config: PretrainedConfig) -> str:
        return "AutoModelForImageClassification"

    def task_type(self, config: PretrainedConfig) -> str:
        return "SEQ_CLS"

    def model_options(self, context: Context) -> dict[str, object]:
        # A model with a head for other labels gets a fresh one.
        return {**label_options(context.labels), "ignore_mismatched_sizes": True}

    def skeleton(self, context: Context) -> PreTrainedModel:
        return context.model.skeleton(self.auto_class(context.model.config), **label_options(context.labels))

    def loss(self, context: Context) -> Loss | None:
        return weighted_loss(context.class_weights) if context.class_weights else None

    def encode(self, examples: Sequence[Example], context: Context, *, training: bool) -> Encoded:
        numbers = {name: number for number, name in enumerate(context.labels)}
        columns: Columns = {
            "image": [example["image"] for example in examples],
            "labels": [numbers[example["label"]] for example in examples],
        }
        return Encoded(columns, range(len(examples)))

    def collator(self, context: Context, *, training: bool) -> Collator:
        def collate(rows: list[Example]) -> dict[str, torch.Tensor]:
            inputs = context.model.processor([opened(row["image"]) for row in rows], return_tensors="pt")
            return {**inputs, "labels": torch.tensor([row["labels"] for row in rows])}

        return collate

    def predictions(
        self, outputs: Outputs, encoded: Encoded, examples: Sequence[Example], context: Context
    ) -> Answers:
        return [context.labels[number] for number in np.asarray(outputs).argmax(axis=-1)]

    def probabilities(self, output: FloatArray, context: Context) -> dict[str, float]:
        return softmax(output, context.labels)


def opened(image: str | bytes) -> Any:
    """The image in three colours."""
    from PIL import Image

    with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as picture:
        return picture.convert("RGB")
