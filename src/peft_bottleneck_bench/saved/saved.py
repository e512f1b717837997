"""What a run saved: its weights, and what is needed to use them without its task."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..kinds import KINDS, Kind, Setting
from ..models.base_model import BaseModel
from .saving import PARAMETERS_FILE, RUN_FILE

NEEDED = (
    *("kind", "method", "options", "seed", "labels", "columns", "inputs", "max_length", "prompt", "markers"),
    *("generation", "training", "model", "model_name"),
)


@dataclass(frozen=True)
class Saved:
    """The folder of one run below `adapters`, and the content of its `run.json`."""

    folder: Path
    content: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Saved:
        """Reads the description, not the weights.

        Raises:
            UserError: the folder is none that a run saved, or lacks a part.
        """
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder")
        file = folder / RUN_FILE
        if not file.is_file():
            below = sorted(path.parent for path in folder.rglob(RUN_FILE))
            hint = f"; there is one in {below[0]}" if below else ""
            raise UserError(f"{folder}: not saved by a run: it has no {RUN_FILE}{hint}")
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{file}: not JSON: {error}") from error
        if missing := [key for key in NEEDED if key not in content]:
            raise UserError(f"{file}: it lacks '{missing[0]}': another version of peft-bottleneck saved it")
        saved = cls(folder, content)
        if not saved.weights.is_file():
            raise UserError(f"{saved.weights}: no such file")
        return saved

    @property
    def kind(self) -> Kind:
        return KINDS[self.content["kind"]]

    @property
    def by_peft(self) -> bool:
        """Whether PEFT saved it, as an adapter; else it is a file of trained parameters."""
        return (self.folder / "adapter_config.json").is_file()

    @property
    def weights(self) -> Path:
        return self.folder / ("adapter_model.safetensors" if self.by_peft else PARAMETERS_FILE)

    @cached_property
    def sha256(self) -> str:
        """Of the trained weights."""
        return hashlib.sha256(self.weights.read_bytes()).hexdigest()

    def base(self, name: str | None = None, quantization: str | None = None) -> BaseModel:
        """The base model, or another one in its place; quantised as in training unless said otherwise (`none`).

        A base from the hub is taken at the commit that the training saw.

        Raises:
            UserError: there is none.
        """
        identity = self.content["model"]
        quantization = None if quantization == "none" else quantization or identity.get("quantization")
        if name:
            return BaseModel.named(name, quantization)
        known = self.content["model_name"]
        if identity.get("revision") and "@" not in known:
            known = f"{known}@{identity['revision']}"
        try:
            return BaseModel.named(known, quantization)
        except UserError as error:
            raise UserError(f"{self.folder}: {'; '.join(error.messages)}; `--model` can name another place") from error

    def is_base(self, model: BaseModel) -> bool:
        """Whether `model` has the weights that the run started from, wherever it lies and however it is quantised."""
        mine, other = self.content["model"], model.identity
        key = "sha256" if "sha256" in mine else "revision"
        return key in other and mine[key] == other[key]

    def setting(self, model: BaseModel) -> Setting:
        """What the kind was told, with `model` as the base."""
        return Setting(
            model=model,
            labels=tuple(self.content["labels"]),
            max_length=self.content["max_length"],
            prompt=self.content["prompt"],
            markers=tuple(self.content["markers"]),
            generation=self.content["generation"],
            thresholds=tuple(self.content.get("thresholds", ())),
        )
