"""Data sets of the Hugging Face Hub, and those that `datasets` saved to disk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import datasets

from ..errors import UserError, first_line
from ..tasks import Hub, Task
from .features import named
from .file_rows import Row
from .labels import sorted_labels


@dataclass(frozen=True)
class HubRows:
    """One split of a hub dataset; class labels are read as their names."""

    rows: Any  # datasets.Dataset
    name: str

    lazy: ClassVar[bool] = True

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        row: Row = self.rows[index]
        return {column: named(self.rows.features[column], value) for column, value in row.items()}

    def place(self, index: int) -> str:
        """Where row `index` is, for an error message."""
        return f"{self.name}, row {index + 1}"

    @property
    def commit(self) -> str | None:
        """The commit that was read, which is what `datasets` calls the folder that it keeps a split in."""
        folders = [Path(file["filename"]).parent.name for file in self.rows.cache_files]
        return next((folder for folder in folders if re.fullmatch(r"[0-9a-f]{40}", folder)), None)

    def label_values(self, column: str) -> Sequence[Any]:
        """The names that the dataset declares, in its order, or else the values that occur, sorted."""
        feature = self.rows.features.get(column)
        names = getattr(getattr(feature, "feature", feature), "names", ())
        if names:
            return [list(names)] if hasattr(feature, "feature") else list(names)
        if getattr(feature, "dtype", None) not in ("string", "large_string", "int32", "int64"):
            return ()
        return sorted_labels({str(value) for value in self.rows.unique(column) if value is not None})


class SavedRows(HubRows):
    """One split that `save_to_disk` wrote; it is read whole, as files are."""

    lazy: ClassVar[bool] = False


def hub_rows(task: Task, hub: Hub, split: str, part: str) -> HubRows:
    """The rows of `part`, a split expression such as `train[:-2000]`.

    Raises:
        UserError: the data set or the split cannot be loaded, or is empty.
    """
    datasets.disable_progress_bars()
    name = f"{hub.id}[{part}]"
    try:
        rows = datasets.load_dataset(hub.id, hub.config, data_dir=hub.folder, split=part, revision=hub.revision)
    except Exception as error:  # the hub client, file readers and the network each raise their own classes
        raise UserError(f"task '{task.name}': {name} at revision {hub.revision}: {first_line(error)}") from error
    if len(rows) == 0:
        raise UserError(f"task '{task.name}': {split} split: {name}: no rows")
    return HubRows(_undecoded(rows), name)


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` of a `Dataset` or a `DatasetDict` wrote the folder."""
    return (folder / "dataset_info.json").is_file() or (folder / "dataset_dict.json").is_file()


def saved_folder(folder: Path, split: str) -> Path:
    """The folder of a split: that of a `DatasetDict` has one for each."""
    return folder / split if (folder / "dataset_dict.json").is_file() else folder


def saved_rows(folder: Path) -> SavedRows:
    """The rows of a saved `Dataset`.

    Raises:
        UserError: it cannot be read, or is empty.
    """
    try:
        rows = datasets.load_from_disk(str(folder))
    except Exception as error:  # of Arrow, of JSON, of the file system
        raise UserError(f"{folder}: no data set that save_to_disk wrote: {first_line(error)}") from error
    if len(rows) == 0:
        raise UserError(f"{folder}: the data set has no rows")
    return SavedRows(_undecoded(rows), str(folder))


def _undecoded(rows: Any) -> Any:
    """The rows with images as they are compressed."""
    for name, feature in rows.features.items():
        if isinstance(feature, datasets.Image):
            rows = rows.cast_column(name, datasets.Image(decode=False))
    return rows
