"""Times of methods on a quiet machine: one file beside the records, measured apart from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from ..files import replacing
from .problems import in_one_line
from .schema import COSTS_FILE, Count, Hardware, Moment, Name, Number, Part


class Timing(Part, frozen=True):
    """Seconds: the median over the turns, and the quartiles around it."""

    low: Number
    median: Number
    high: Number


class Cost(Part, frozen=True):
    """One method on one task and model."""

    task: Name
    model: Name
    method: Name
    train_step: Timing | None = Field(description="forward, backward and optimiser on one batch; None: nothing trains")
    one_input: Timing = Field(description="inference on one test example of median length")
    batch: Timing = Field(description="inference on test examples of all lengths")
    folded: bool = Field(description="whether the adapter was merged into the base for inference")


class Costs(Part, frozen=True):
    """One measurement: all methods took turns in one process."""

    measured: Moment
    hardware: Hardware
    versions: dict[str, str]
    threads: Count
    turns: Count
    train_batch_size: Count
    batch_size: Count = Field(description="of `batch`")
    others_cpu_share: Number = Field(description="of the processors' time, what other processes used meanwhile")
    rows: Annotated[tuple[Cost, ...], Field(strict=False)]

    def of(self, task: str, model: str, method: str) -> Cost | None:
        """The row of one method, if it was measured."""
        wanted = (task, model, method)
        return next((row for row in self.rows if (row.task, row.model, row.method) == wanted), None)


def write(costs: Costs, folder: Path) -> Path:
    """Writes `costs.json` into a folder of results, and returns its path."""
    path = folder / COSTS_FILE
    with replacing(path) as file:
        file.write((costs.model_dump_json(indent=1) + "\n").encode())
    return path


def read(folder: Path) -> Costs | None:
    """The costs in a folder of results; None where there are none.

    Raises:
        ValueError: the file is damaged; names the field.
    """
    path = folder / COSTS_FILE
    if not path.is_file():
        return None
    try:
        return Costs.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ValueError(f"{path}: {in_one_line(error)}") from error
