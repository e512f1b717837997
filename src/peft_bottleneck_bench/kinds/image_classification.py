"""One of a few labels for an image."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch

from ..errors import UserError
from .base import Collator, Columns, Context, Encoded, Example
from .classification import OneLabel, label_name, label_options

if TYPE_CHECKING:
    from PIL.Image import Image

Result = TypeVar("Result")


class ImageClassification(OneLabel):
    """Columns `image`, the path of a file or the image feature of `datasets`, and `label`, a name or a whole number.

    Images are opened batch by batch, and scaled and normalised by the model's own image processor.
    """

    name = "image_classification"
    columns = ("image", "label")
    metrics = ("classification",)
    label_column = "label"
    reads_text = False
    head_class = "AutoModelForImageClassification"
    peft_task = "SEQ_CLS"

    def example(self, row: Example) -> Example:
        image = row["image"]
        if isinstance(image, Mapping):
            if not image.get("bytes") and not image.get("path"):
                raise ValueError("'image' holds neither bytes nor a path")
            image = image["bytes"] if image.get("bytes") else image["path"]
        if not isinstance(image, (str, bytes)):
            raise ValueError(f"'image' must be the path of a file, found {image!r}")
        if isinstance(image, str) and Path(image).is_dir():
            raise ValueError(f"'image': {image}: a folder; name the images in it, such as {Path(image) / '*.png'}")
        if isinstance(image, str) and not Path(image).is_file():
            raise ValueError(f"'image': {image}: no such file")
        check(image)
        return {"image": image, "label": label_name(row, "label")}

    def input_text(self, example: Example) -> str:
        """The image's bytes, as text: equal images have equal ones."""
        image = example["image"]
        return (Path(image).read_bytes() if isinstance(image, str) else image).decode("latin-1")

    def model_options(self, context: Context) -> dict[str, object]:
        return label_options(context.labels)

    def encode(self, examples: Sequence[Example], context: Context, *, training: bool) -> Encoded:
        columns: Columns = {
            "image": [example["image"] for example in examples],
            "labels": self.label_numbers(examples, context),
        }
        return Encoded(columns, range(len(examples)))

    def collator(self, context: Context, *, training: bool) -> Collator:
        def collate(rows: list[Example]) -> dict[str, torch.Tensor]:
            inputs = context.model.processor([opened(row["image"]) for row in rows], return_tensors="pt")
            return {**inputs, "labels": torch.tensor([row["labels"] for row in rows])}

        return collate


def check(image: str | bytes) -> None:
    """Reads the header of an image, and of a PNG its checksums.

    Raises:
        ValueError: Pillow does not read it; says which file and why.
    """
    _read(image, lambda picture: picture.verify())


def opened(image: str | bytes) -> Image:
    """The image in three colours.

    Raises:
        UserError: the file ends too early, or is damaged otherwise; says which file and why.
    """
    try:
        return _read(image, lambda picture: picture.convert("RGB"))
    except ValueError as error:
        raise UserError(str(error)) from error


def _read(image: str | bytes, use: Callable[[Image], Result]) -> Result:
    from PIL import Image, UnidentifiedImageError

    name = image if isinstance(image, str) else f"{len(image):,} bytes"
    try:
        with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as picture:
            return use(picture)
    except UnidentifiedImageError as error:
        raise ValueError(f"'image': {name}: no image, or of a format that Pillow does not read") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"'image': {name}: {error}") from error
