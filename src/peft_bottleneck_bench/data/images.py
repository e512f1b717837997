"""Folders of images: one folder per label, as `DIR/cat/1.png`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from .file_rows import FileRows

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def is_image_folder(path: Path) -> bool:
    """Whether folders with images are in the folder."""
    return path.is_dir() and any(_is_image(file, path) for file in path.glob("*/*"))


def image_rows(folder: Path) -> FileRows:
    """Rows of `image`, a path, and `label`, the name of the folder that the file is in; hidden files are left out.

    Raises:
        UserError: an image is in no folder of its own label.
    """
    files = sorted(file for file in folder.rglob("*") if _is_image(file, folder))
    if stray := [file for file in files if file.parent == folder]:
        raise UserError(f"{stray[0]}: an image without a label: move it into a folder with the label's name")
    rows = [{"image": str(file), "label": file.relative_to(folder).parts[0]} for file in files]
    return FileRows(str(folder), rows, range(1, len(rows) + 1), "image")


def _is_image(file: Path, folder: Path) -> bool:
    """By its name. `._1.png` and `.thumbnails/` are what a desktop leaves behind."""
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return file.suffix.lower() in SUFFIXES and not hidden


def beside(rows: FileRows, folder: Path) -> FileRows:
    """The rows, with the names of images in `folder` as paths."""

    def placed(value: Any) -> Any:
        is_name = isinstance(value, str) and Path(value).suffix.lower() in SUFFIXES
        return str(folder / value) if is_name and (folder / value).is_file() else value

    return replace(rows, rows=[{name: placed(value) for name, value in row.items()} for row in rows.rows])
