"""Checkpoints, from which an interrupted run continues.

A checkpoint is the folder that transformers' `Trainer` writes (the states of optimiser, schedule and random numbers),
with the trained parameters in place of the whole model, the best ones so far, and `progress.json`. That file is
written last and holds a hash of every other one, which shows whether a folder is complete and undamaged.
Only the latest checkpoint is kept.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..files import replacing
from ..records.problems import in_one_line
from ..saved.saving import sha256

PACKAGES = ("peft-bottleneck", "torch", "transformers", "peft", "accelerate", "datasets", "evaluate")
FOLDER = "checkpoints"
PROGRESS_FILE = "progress.json"
PARAMETERS_FILE = "parameters.safetensors"
BEST_FILE = "best.safetensors"
LONGEST_PROGRESS = 16 * 2**20  # bytes of a progress file: more is none of ours


class Best(BaseModel):
    """The best weights so far.

    Args:
        validation: their scores.
        step: after which they were there; 0 where none are.
        curve: `[step, main score]` of every evaluation.
        waited: evaluations since.
    """

    model_config = ConfigDict(extra="forbid")

    validation: dict[str, float] = {}
    step: int = 0
    curve: list[tuple[int, float]] = []
    waited: int = 0


class TrainingProgress(BaseModel):
    """The state of a training that `Trainer` itself does not keep.

    Args:
        seconds: of training, without evaluations and the writing of checkpoints.
        peak_memory_bytes: as `workbench.memory.PeakMemory` has it.
        best: the state of `training.KeepBest`.
        versions: of the packages that trained: others may not give the same score from here on.
        files: the SHA-256 of every other file of the checkpoint.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seconds: float
    peak_memory_bytes: int
    best: Best
    versions: dict[str, str]
    files: dict[str, str]


def versions() -> dict[str, str]:
    """The packages that decide a score, with their versions."""
    return {name: version(name) for name in PACKAGES}


def complete(checkpoint: Path, seconds: float, peak_memory_bytes: int, best: Best, weights: Path) -> None:
    """Completes the folder that `Trainer` wrote to a checkpoint, and removes the earlier ones.

    Args:
        weights: the file with the best parameters, if there are any.
    """
    if weights.exists():
        shutil.copyfile(weights, checkpoint / BEST_FILE)
    progress = TrainingProgress(
        seconds=seconds,
        peak_memory_bytes=peak_memory_bytes,
        best=best,
        versions=versions(),
        files=_hashes(checkpoint),
    )
    with replacing(checkpoint / PROGRESS_FILE) as file:
        file.write(progress.model_dump_json().encode())
    for other in checkpoint.parent.iterdir():
        if other != checkpoint:
            shutil.rmtree(other)


def latest(folder: Path, say: Callable[[str], object] = lambda line: None) -> Path | None:
    """The last checkpoint below `folder` that a training can go on from; None if there is none.

    Args:
        say: is called with the reason why a folder that looks like a checkpoint is left out.
    """
    usable = []
    for checkpoint in folder.glob("checkpoint-*"):
        try:
            read(checkpoint)
            usable.append((int(checkpoint.name.rpartition("-")[2]), checkpoint))
        except (OSError, ValueError) as error:
            say(f"{checkpoint}: left out: {error}")
    return max(usable)[1] if usable else None


def read(checkpoint: Path) -> TrainingProgress:
    """The progress of the training that left `checkpoint`, whose files are as they were written.

    Raises:
        ValueError: the folder is incomplete or damaged, or of other packages.
        OSError: a file cannot be read.
    """
    file = checkpoint / PROGRESS_FILE
    if not file.is_file():
        raise ValueError(f"it has no {PROGRESS_FILE}")
    if file.stat().st_size > LONGEST_PROGRESS:
        raise ValueError(f"{PROGRESS_FILE} has more than {LONGEST_PROGRESS:,} bytes")
    try:
        progress = TrainingProgress.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise ValueError(f"{PROGRESS_FILE}: {in_one_line(error)}") from error
    if progress.versions != versions():
        raise ValueError("other versions of the packages wrote it")
    if progress.files != _hashes(checkpoint):
        raise ValueError("its files are not those that were written")
    return progress


def _hashes(checkpoint: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in sorted(checkpoint.iterdir()) if path.name != PROGRESS_FILE}
