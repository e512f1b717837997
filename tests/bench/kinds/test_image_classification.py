"""Images from folders, files and `datasets`, through a small ViT."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Image
from PIL import Image as Pictures
from tiny_task import write_rows
from transformers import AutoModelForImageClassification, ViTConfig, ViTImageProcessor

from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.data.loading import load_data
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.grid.plan import plan
from peft_bottleneck_bench.kinds import KINDS
from peft_bottleneck_bench.kinds.image_classification import opened
from peft_bottleneck_bench.tasks import Files, Task
from peft_bottleneck_bench.training.execute import execute
from peft_bottleneck_bench.training.features import make_features

COLOURS = {"blue": (20, 40, 220), "green": (30, 200, 40), "red": (220, 30, 30)}


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny_vit"
    torch.manual_seed(0)
    sizes = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    config = ViTConfig(image_size=16, patch_size=8, **sizes)
    AutoModelForImageClassification.from_config(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`DIR/<split>/<label>/<number>.png`"""
    place = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for split, count in (("train", 16), ("validation", 4), ("test", 6)):
        for label, colour in COLOURS.items():
            (place / split / label).mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(np.array(colour) + random.normal(0, 30, (20, 20, 3)), 0, 255).astype(np.uint8)
                Pictures.fromarray(pixels).save(place / split / label / f"{number:02}.png")
    return place


def files_of(folder: Path) -> dict[str, str]:
    return {split: str(folder / split) for split in ("train", "validation", "test")}


def load(data: dict[str, str]) -> Any:
    return load_data(
        Task(name="m", kind="image_classification", data=Files(**data)), KINDS["image_classification"], {}
    )


def test_a_folder_a_file_and_a_saved_data_set_are_the_same_images(folder: Path, tmp_path: Path) -> None:
    of_folder = load(files_of(folder))
    assert of_folder.labels == ("blue", "green", "red")
    assert of_folder.counts == {"train": 48, "validation": 12, "test": 18}
    features = Features({"image": Image(), "label": ClassLabel(names=list(COLOURS))})
    named, saved = {}, {}
    for split, place in files_of(folder).items():
        rows = [{"image": str(f.relative_to(place)), "label": f.parent.name} for f in sorted(Path(place).glob("*/*"))]
        named[split] = str(write_rows(Path(place) / "rows.jsonl", rows))
        whole = {"image": [str(Path(place, row["image"])) for row in rows], "label": [row["label"] for row in rows]}
        Dataset.from_dict(whole, features=features).save_to_disk(tmp_path / split)
        saved[split] = str(tmp_path / split)
    assert load(named).splits == of_folder.splits
    first = load(saved).splits["test"][0]
    assert first["label"] == "blue"
    kind = KINDS["image_classification"]
    assert [kind.input_text(row) for row in load(saved).splits["test"]] == [
        kind.input_text(row) for row in of_folder.splits["test"]
    ]


def written(folder: Path, name: str) -> Path:
    """The path of a file under a name that says how it is no image; the folder, for an empty name."""
    good = io.BytesIO()
    Pictures.new("RGB", (64, 64), (200, 30, 30)).save(good, "png")
    contents = {"text.png": b"no image", "short.png": good.getvalue()[:70], "empty.png": b""}
    if name in contents:
        (folder / name).write_bytes(contents[name])
    return folder / name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no.png", "no.png: no such file"),
        ("", "a folder; name the images in it, such as"),
        ("text.png", "text.png: no image, or of a format that Pillow does not read"),
        ("empty.png", "empty.png: no image, or of a format that Pillow does not read"),
        ("short.png", "short.png: .*([Tt]runcated|broken)"),
    ],
)
def test_what_is_no_image_is_named(name: str, message: str, tmp_path: Path) -> None:
    """Before anything is trained, by its path."""
    with pytest.raises(ValueError, match=f"'image': .*{message}"):
        KINDS["image_classification"].example({"image": str(written(tmp_path, name)), "label": "red"})


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "'image' must be the path of a file, found None"),
        (b"no image", "'image': 8 bytes: no image, or of a format that Pillow does not read"),
    ],
)
def test_a_value_that_is_no_image_is_named(image: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KINDS["image_classification"].example({"image": image, "label": "red"})


def test_an_image_that_ends_too_early_is_named_when_its_pixels_are_read(tmp_path: Path) -> None:
    """The header of a JPEG file does not show it."""
    content = io.BytesIO()
    Pictures.effect_noise((64, 64), 90).save(content, "jpeg")
    file = tmp_path / "short.jpg"
    file.write_bytes(content.getvalue()[:-400])
    KINDS["image_classification"].example({"image": str(file), "label": "red"})
    with pytest.raises(UserError, match=r"'image': .*short\.jpg: image file is truncated"):
        opened(str(file))


def test_hidden_files_of_a_desktop_are_no_images(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "images")
    for hidden in ("train/red/._00.png", "train/.thumbnails/00.png"):
        (tmp_path / "images" / hidden).parent.mkdir(exist_ok=True)
        (tmp_path / "images" / hidden).write_bytes(b"no image")
    data = load(files_of(tmp_path / "images"))
    assert data.labels == ("blue", "green", "red")
    assert data.counts["train"] == 48


def test_a_broken_image_stops_the_dry_run_with_its_path(
    configure: Callable[..., Path], vit: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder, tmp_path / "images")
    broken = tmp_path / "images" / "train" / "red" / "99.png"
    broken.write_bytes(b"no image")
    task = {"name": "m", "kind": "image_classification", "data": files_of(tmp_path / "images")}
    assert main(["run", str(configure(model=str(vit), tasks=[task])), "--dry-run"]) == 2
    assert f"'image': {broken}: no image" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["houlsby", "pfeiffer", "parallel_adapter", "lora"])
def test_adapters_of_vision_learn_colours(
    configure: Callable[..., Path], vit: Path, folder: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    task = {"name": "colours", "kind": "image_classification", "data": files_of(folder)}
    training = {"num_train_epochs": 8, "per_device_train_batch_size": 8, "learning_rate": 0.01}
    entry = {"method": "lora", "target_modules": ["q_proj", "v_proj"]} if method == "lora" else method
    (run,) = plan(load_configuration(configure(model=str(vit), tasks=[task], methods=[entry], training=training)))
    record = execute(run, make_features(run), lambda step, steps: None)
    assert record.metrics.test["accuracy"] > 0.8
    image = run.data.splits["test"][-1]["image"]
    assert main(["predict", str(run.adapter_path), image, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["label"] in COLOURS
    assert sum(answer["probabilities"].values()) == pytest.approx(1)


def test_a_model_of_images_reads_no_text(configure: Callable[..., Path], vit: Path) -> None:
    with pytest.raises(UserError, match="does not fit classification"):
        plan(load_configuration(configure(model=str(vit))))


def test_a_model_of_text_reads_no_images(configure: Callable[..., Path], folder: Path) -> None:
    task = {"name": "colours", "kind": "image_classification", "data": files_of(folder)}
    with pytest.raises(UserError, match="does not fit image_classification"):
        plan(load_configuration(configure(tasks=[task])))
