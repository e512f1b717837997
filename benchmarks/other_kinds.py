"""Makes two data sets of kinds that the leaderboard does not have, and a vision model without pretraining.

    python benchmarks/other_kinds.py DIR BC5CDR
    peft-bottleneck run benchmarks/scores/multilabel.yaml
    peft-bottleneck run benchmarks/scores/images.yaml

`DIR/multilabel` labels the sentences of BC5CDR (a folder with `train.jsonl`, `validation.jsonl` and `test.jsonl` of
`tokens` and `tags`) with the types of the entities in them: none, one or both. `DIR/digits` has scikit-learn's 1,797
handwritten digits as images of 32×32 pixels, 1,200 to train, 200 to validate and 397 to test. `DIR/small_vit` is a ViT
of 4 blocks, 128 channels and random weights.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from PIL import Image
from sklearn.datasets import load_digits
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

SPLITS = {"train": range(1200), "validation": range(1200, 1400), "test": range(1400, 1797)}
SIDE = 32


def make_multilabel(source: Path, folder: Path) -> None:
    """Writes rows of `text` and `labels`."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as file:
            for line in (source / f"{split}.jsonl").read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                labels = sorted({tag[2:] for tag in row["tags"] if tag != "O"})
                file.write(json.dumps({"text": " ".join(row["tokens"]), "labels": labels}) + "\n")


def make_digits(folder: Path) -> None:
    """Writes one folder of images for each digit."""
    digits = load_digits()
    for split, indices in SPLITS.items():
        for index in indices:
            place = folder / split / str(digits.target[index])
            place.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray((digits.images[index] * 255 / 16).astype("uint8"))
            image.resize((SIDE, SIDE), Image.Resampling.BILINEAR).convert("RGB").save(place / f"{index}.png")


def make_vit(folder: Path) -> None:
    """Saves a ViT that knows nothing, and its image processor."""
    torch.manual_seed(0)
    config = ViTConfig(
        image_size=SIDE,
        patch_size=8,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_labels=10,
    )
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)


if __name__ == "__main__":
    made, given = map(Path, sys.argv[1:])
    make_multilabel(given, made / "multilabel")
    make_digits(made / "digits")
    make_vit(made / "small_vit")
