"""The folder that a run saved: its weights, and the data to use them without the task."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel as Model
from pydantic import ConfigDict, Field, FiniteFloat, NonNegativeInt, ValidationError, model_validator
from safetensors import SafetensorError, safe_open
from typing_extensions import Self

from peft_bottleneck.quantization import QUANTIZATIONS

from ..errors import UserError, suggest
from ..files import files_below
from ..kinds import KINDS, Context, Kind
from ..models.base_model import DTYPES, BaseModel
from ..models.options import check_method
from ..records import remote
from .adapter_groups import description_of
from .saving import PARAMETERS_FILE, RUN_FILE, sha256

MOST_SHOWN = 5  # adapters in an error


class Description(Model):
    """The content of `run.json` that is of use after the training."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", protected_namespaces=())

    kind: str
    task: str
    method: str
    options: dict[str, object]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    labels: tuple[str, ...]
    columns: dict[str, str]
    inputs: Annotated[tuple[str, ...], Field(min_length=1)]
    max_length: NonNegativeInt  # 0 for models of images
    prompt: str
    markers: tuple[str, ...]
    thresholds: tuple[float, ...] = ()
    center: FiniteFloat = 0.0
    spread: Annotated[FiniteFloat, Field(gt=0)] = 1.0
    generation: dict[str, object]
    training: dict[str, object]
    model: dict[str, str | None]
    model_name: str
    sha256: dict[str, str] = {}  # of the other files, by name; earlier versions saved none

    @model_validator(mode="after")
    def _reads_something(self) -> Self:
        if self.max_length == 0 and self.kind != "image_classification":
            raise ValueError("max_length: Input should be greater than 0")
        for key, choices in (("dtype", DTYPES), ("quantization", QUANTIZATIONS)):
            if self.model.get(key) not in (None, *choices):
                raise ValueError(f"model.{key}: expected {' or '.join(choices)}, found {self.model[key]!r}")
        return self


@dataclass(frozen=True)
class Saved:
    """The folder of one run below `adapters`, and the content of its `run.json`."""

    folder: Path
    content: Description

    @classmethod
    def read(cls, place: Path | str) -> Saved:
        """Reads the description, and checks that the files are those that the run saved.

        Args:
            place: a folder or an address, from which the files come to this machine; also a folder above, if one run
                alone saved something below it.

        Raises:
            UserError: no run saved the folder, a part is missing, or a file is damaged or was changed; the address
                cannot be read.
        """
        folder = remote.copied(place, wanted=_is_part)
        if not folder.is_dir():
            raise UserError(f"{place}: no such folder")
        file = folder / RUN_FILE
        if not file.is_file():
            below = [remote.shown(path.parent) for path in files_below(folder, RUN_FILE) if path.is_file()]
            if len(below) == 1:
                return cls.read(below[0])
            raise UserError(f"{place}: not saved by a run: it has no {RUN_FILE}{_instead(str(place), below)}")
        saved = cls(folder, _read_description(file))
        if not saved.weights.is_file():
            raise UserError(f"{remote.shown(saved.weights)}: no such file")
        for name, known in saved.content.sha256.items():
            path = folder / Path(name).name
            if not path.is_file():
                raise UserError(f"{saved.place}/{path.name}: no such file")
            if sha256(path) != known:
                raise UserError(
                    f"{saved.place}/{path.name}: not as the run saved it: its SHA-256 is not the one in {RUN_FILE}"
                )
        if saved.by_peft and "peft_type" not in description_of(folder):
            raise UserError(f"{saved.place}/adapter_config.json: it lacks 'peft_type', the name of a method")
        saved._check_values()
        return saved

    def _check_values(self) -> None:
        """Hashes do not show them: whoever takes the hashes out, or writes a file by hand, may write anything.

        Raises:
            UserError: the file of weights is damaged, or a weight is NaN or infinite.
        """
        try:
            with safe_open(self.weights, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118
                    if not file.get_tensor(name).float().isfinite().all():
                        raise UserError(
                            f"{remote.shown(self.weights)}: damaged: '{name}' holds NaN or an infinite value"
                        )
        except (SafetensorError, OSError) as error:
            raise UserError(f"{remote.shown(self.weights)}: damaged: {error}") from error

    @property
    def place(self) -> str:
        """Where it is, for people: its address if it has one."""
        return remote.shown(self.folder)

    @property
    def kind(self) -> Kind:
        return KINDS[self.content.kind]

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
        return sha256(self.weights)

    def base(self, name: str | None = None, quantization: str | None = None) -> BaseModel:
        """The base model, or another one in its place; in the form that it had in training.

        A base from the hub is loaded at the commit of the training.

        Raises:
            UserError: there is none.
        """
        identity = self.content.model
        quantization = None if quantization == "none" else quantization or identity.get("quantization")
        dtype = identity.get("dtype") or "auto"
        if name:
            return BaseModel.named(name, quantization, dtype=dtype)
        known = self.content.model_name
        if identity.get("revision") and "@" not in known:
            known = f"{known}@{identity['revision']}"
        try:
            return BaseModel.named(known, quantization, dtype=dtype)
        except UserError as error:
            raise UserError(f"{self.place}: {'; '.join(error.messages)}; `--model` can name another place") from error

    def is_base(self, model: BaseModel) -> bool:
        """Whether `model` has the weights that the run started from, at any path and in any quantisation."""
        mine, other = self.content.model, model.identity
        key = "sha256" if "sha256" in mine else "revision"
        return key in other and mine[key] == other[key]

    def context(self, model: BaseModel) -> Context:
        """The context of the training, with `model` as the base."""
        return Context(
            model=model,
            labels=self.content.labels,
            max_length=self.content.max_length,
            prompt=self.content.prompt,
            markers=self.content.markers,
            generation=self.content.generation,
            thresholds=self.content.thresholds,
            center=self.content.center,
            spread=self.content.spread,
        )


def _is_part(place: str) -> bool:
    """Whether a file is of the saved folder itself; descriptions below it tell a user where one is."""
    return "/" not in place or place.endswith(f"/{RUN_FILE}")


def _instead(place: str, below: list[str]) -> str:
    """Where adapters are, as the end of an error about a folder that is none."""
    if below:
        more = f" and {len(below) - MOST_SHOWN} more" if len(below) > MOST_SHOWN else ""
        return f"; choose one of those below it: {', '.join(below[:MOST_SHOWN])}{more}"
    beside = Path(f"{place.rstrip('/')}-adapters")
    return f"; adapters of its runs are below {beside}" if beside.is_dir() else ""


def _read_description(file: Path) -> Description:
    shown = remote.shown(file)
    try:
        content = Description.model_validate_json(file.read_bytes())
    except OSError as error:
        raise UserError(f"{shown}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        if first["type"] == "missing":
            raise UserError(f"{shown}: it lacks '{place}': another version of peft-bottleneck saved it") from error
        if first["type"] == "json_invalid":
            raise UserError(f"{shown}: not JSON: {first['ctx']['error']}") from error
        raise UserError(f"{shown}: {place and f'{place}: '}{first['msg']}") from error
    if content.kind not in KINDS:
        raise UserError(f"{shown}: unknown kind '{content.kind}': {suggest(content.kind, KINDS)}")
    try:
        check_method(content.method, content.options)
    except UserError as error:
        raise UserError(*(f"{shown}: {message}" for message in error.messages)) from error
    return content
