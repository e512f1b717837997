"""What a run that was cut off goes on from.

A checkpoint is the folder that transformers' `Trainer` writes (the states of optimiser, schedule and random numbers),
with the trained parameters in place of the whole model, the best ones so far, and `course.json`. That file is written
last: a folder without it is half a checkpoint, and is not gone on from. Only the latest checkpoint is kept.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..records import replacing

PACKAGES = ("peft-bottleneck", "torch", "transformers", "peft", "accelerate", "datasets", "evaluate")
FOLDER = "checkpoints"
COURSE_FILE = "course.json"
PARAMETERS_FILE = "parameters.safetensors"
BEST_FILE = "best.safetensors"


@dataclass(frozen=True)
class Course:
    """A training up to a checkpoint, as far as `Trainer` itself does not keep it.

    Args:
        seconds: of training, without evaluations and the writing of checkpoints.
        peak_memory_bytes: as `measure.PeakMemory` has it.
        best: the state of `training.KeepBest`.
        versions: of the packages that trained: others may not give the same score from here on.
    """

    seconds: float
    peak_memory_bytes: int
    best: Mapping[str, Any]
    versions: Mapping[str, str]


def versions() -> dict[str, str]:
    """The packages that decide a score, with their versions."""
    return {name: version(name) for name in PACKAGES}


def seal(checkpoint: Path, course: Course, best: Path) -> None:
    """Makes the folder that `Trainer` wrote a checkpoint, and removes the ones before it."""
    if best.exists():
        shutil.copyfile(best, checkpoint / BEST_FILE)
    with replacing(checkpoint / COURSE_FILE) as file:
        file.write(json.dumps(asdict(course)).encode())
    for other in checkpoint.parent.iterdir():
        if other != checkpoint:
            shutil.rmtree(other)


def latest(folder: Path) -> Path | None:
    """The checkpoint below `folder` that a training can go on from; None if there is none for these packages."""
    sealed = [
        file.parent for file in folder.glob(f"*/{COURSE_FILE}") if read_course(file.parent).versions == versions()
    ]
    return max(sealed, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def read_course(checkpoint: Path) -> Course:
    """The course of the training that left `checkpoint`."""
    return Course(**json.loads((checkpoint / COURSE_FILE).read_text(encoding="utf-8")))
