"""Models and tokenizers from the hub, a directory, or an installed Python package."""

from __future__ import annotations

import copy
import hashlib
import pickle
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    AddedToken,
    AutoConfig,
    AutoImageProcessor,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)

from peft_bottleneck.quantization import mend_quantised_layers, quantization_config

from ..errors import UserError, first_line
from .damage import check_vocabulary, one_line_errors
from .model_names import default_label, inside_package
from .trainable import head_modules
from .weight_files import SUFFIXES, problem_with_weights
from .weight_shapes import REPORTED, problem_with_shapes, shapes_in

# Longer inputs are cut here unless `max_length` says otherwise: long-context models would accept whole books.
LONGEST_INPUT = 512
DTYPES = ("auto", "float32", "bfloat16", "float16")  # auto: as the checkpoint has the weights


@dataclass(frozen=True)
class BaseModel:
    """A model as a configuration names it: `ORG/NAME` or `ORG/NAME@REVISION`, a directory, or `package:NAME/PATH`.

    Constructing one reads its configuration and tokenizer, not its weights. `quantization` is `8bit`, `4bit` or None,
    `dtype` one of `DTYPES`.
    """

    name: str
    path: str
    revision: str | None
    quantization: str | None = None
    label: str = ""  # in records and paths; empty: `default_label`
    dtype: str = "auto"

    @classmethod
    def named(cls, name: str, quantization: str | None = None, label: str = "", dtype: str = "auto") -> BaseModel:
        """Finds the model's files.

        Raises:
            UserError: a package that is not installed, a directory without a model, or an id that cannot be loaded.
        """
        if name.startswith("package:"):
            found = cls(name, str(inside_package(name)), None, quantization, label, dtype)
        elif Path(name).expanduser().is_dir():
            found = cls(name, str(Path(name).expanduser()), None, quantization, label, dtype)
        elif re.fullmatch(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?", name):
            path, _, revision = name.partition("@")
            found = cls(name, path, revision or None, quantization, label, dtype)
        else:
            raise UserError(f"model '{name}': no such directory")
        _ = found.tokenizer if found.reads_text else found.processor
        if found.is_local and (problem := problem_with_weights(Path(found.path))) is not None:
            raise UserError(f"model '{name}': no weights: {problem}")
        return found

    @property
    def slug(self) -> str:
        """A short name for paths and tables: the label, how the weights are quantised, and their type if it is set."""
        return "-".join([self.label or default_label(self.name), *self._form.values()])

    @property
    def is_half(self) -> bool:
        """Whether the configuration asks for weights of 16 bits."""
        return self.dtype in ("bfloat16", "float16")

    @property
    def _form(self) -> dict[str, str]:
        """In which form the weights are loaded, as far as it is not the checkpoint's own."""
        form = {"quantization": self.quantization, "dtype": None if self.dtype == "auto" else self.dtype}
        return {key: value for key, value in form.items() if value}

    @property
    def lasting_name(self) -> str:
        """The name, a directory as an absolute path: the same from any working directory."""
        return str(Path(self.path).resolve()) if self.is_local and not self.name.startswith("package:") else self.name

    @property
    def is_local(self) -> bool:
        return Path(self.path).is_dir()

    @cached_property
    def config(self) -> PretrainedConfig:
        if self.is_local and {file.name for file in Path(self.path).glob("*config.json")} == {"adapter_config.json"}:
            raise UserError(f"model '{self.name}' is an adapter; name the model that it was trained on")
        with one_line_errors(self.name, "no configuration"):
            return AutoConfig.from_pretrained(self.path, revision=self.revision)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        with one_line_errors(self.name, "no tokenizer"):
            tokenizer = AutoTokenizer.from_pretrained(self.path, revision=self.revision)
            check_vocabulary(tokenizer)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token  # decoder-only models were trained without padding
        tokenizer.padding_side = "right"  # positions count from the start; only generation pads on the left
        return tokenizer

    @property
    def reads_text(self) -> bool:
        """Whether the model has a vocabulary; those of images have none."""
        return hasattr(self.config.get_text_config(), "vocab_size")

    @cached_property
    def processor(self) -> ProcessorMixin:
        """The image processor of a model that reads images."""
        with one_line_errors(self.name, "no image processor"):
            return AutoImageProcessor.from_pretrained(self.path, revision=self.revision)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The weights' identity: the hub's commit, or a hash of the configuration and of samples of each weight file.

        It includes the quantisation and the type, where the configuration sets them.

        A sample is the file's size and three stretches of 1 MiB (head, middle, tail): reading all of a large model
        would take longer than many a run.
        """
        if not self.is_local:
            revision = getattr(self.config, "_commit_hash", None) or self.revision
            return {"name": self.path, "revision": revision, **self._form}
        digest = hashlib.sha256((Path(self.path) / "config.json").read_bytes())
        for file in sorted(Path(self.path).iterdir()):
            if file.suffix in SUFFIXES:
                size = file.stat().st_size
                digest.update(f"{file.name} {size}".encode())
                with file.open("rb") as stream:
                    for start in (0, size // 2, max(0, size - 2**20)):
                        stream.seek(start)
                        digest.update(stream.read(2**20))
        name = "-".join([default_label(self.name), *self._form.values()])
        return {"name": name, "sha256": digest.hexdigest(), **self._form}

    def input_length(self, asked: int | None, new_tokens: int = 0) -> int:
        """The longest input in tokens: the given number, or `LONGEST_INPUT`, but no more than the model takes.

        A decoder-only model writes its `new_tokens` at positions after the input.

        Raises:
            UserError: they leave no position for an input.
        """
        positions = getattr(self.config.get_text_config(), "max_position_embeddings", None)
        if positions and self.is_causal:
            positions -= new_tokens
            if positions < 1:
                raise UserError(
                    f"model '{self.name}' takes {positions + new_tokens} tokens, and generation_max_length "
                    f"{new_tokens} leaves none for the input"
                )
        return int(min(asked or LONGEST_INPUT, self.tokenizer.model_max_length, positions or asked or LONGEST_INPUT))

    @property
    def is_causal(self) -> bool:
        """Whether a token's state depends only on what comes before it: a decoder-only model."""
        config = type(self.config)
        decoder = config in MODEL_FOR_CAUSAL_LM_MAPPING and config not in MODEL_FOR_MASKED_LM_MAPPING
        return decoder and not self.config.is_encoder_decoder

    def tokenizer_with(self, words: tuple[str, ...]) -> PreTrainedTokenizerBase:
        """A tokenizer with additional words; their numbers follow the model's own vocabulary."""
        if words not in self._extended:
            tokenizer = copy.deepcopy(self.tokenizer)
            tokenizer.add_tokens([AddedToken(word, special=True, normalized=False) for word in words])
            self._extended[words] = tokenizer
        return self._extended[words]

    @cached_property
    def _extended(self) -> dict[tuple[str, ...], PreTrainedTokenizerBase]:
        return {}

    def load(self, auto_class: str, **options: object) -> PreTrainedModel:
        """The model with its weights, as transformers' class `auto_class`; `options` go into its configuration.

        A task head of another size than the weights have is a fresh one.

        Raises:
            UserError: weights are missing, or of another shape than the configuration builds.
        """
        if self.quantization:
            options["quantization_config"] = self.quantised_loading(auto_class)
        with one_line_errors(self.name, "no weights"):
            model, found = getattr(transformers, auto_class).from_pretrained(
                self.path, revision=self.revision, dtype=self.dtype, **REPORTED, **options
            )
        self._check_shapes(model, found["mismatched_keys"])
        mend_quantised_layers(model)  # evaluations come before and between the epochs
        return self._prepared(model)

    def quantised_loading(self, auto_class: str) -> object:
        """The quantisation of the weights in `load`.

        Raises:
            UserError: bitsandbytes is missing, or does not work here, or the model's blocks are not found.
        """
        assert self.quantization is not None
        try:
            return quantization_config(self.quantization, self.config, getattr(transformers, auto_class))
        except (ImportError, RuntimeError, ValueError) as error:
            raise UserError(f"model '{self.name}': {error}") from error

    def check_weights(self, auto_class: str, **options: object) -> None:
        """Refuses weights in a directory that `load` would refuse, by their shapes alone.

        Weights that are quantised already have shapes of their own; they are not checked.

        Raises:
            UserError: a shape is another than the configuration builds, or torch does not read a file.
        """
        if not self.is_local or getattr(self.config, "quantization_config", None) is not None:
            return
        with torch.device("meta"):
            skeleton = self.skeleton(auto_class, **options)
        with one_line_errors(self.name, "no weights"):
            model, found = type(skeleton).from_pretrained(
                None, config=skeleton.config, state_dict=dict(self._shapes), device_map="meta", **REPORTED
            )
        self._check_shapes(model, found["mismatched_keys"])

    @cached_property
    def _shapes(self) -> dict[str, torch.Tensor]:
        try:
            return shapes_in(Path(self.path))
        except (pickle.UnpicklingError, RuntimeError) as error:
            raise UserError(f"model '{self.name}': no weights: {first_line(error)}") from error

    def _check_shapes(self, model: PreTrainedModel, mismatched: Iterable[str | tuple[str, Any, Any]]) -> None:
        if problem := problem_with_shapes(model, mismatched):
            raise UserError(f"model '{self.name}': {problem}")

    def skeleton(self, auto_class: str, **options: object) -> PreTrainedModel:
        """The same model on the current device, without reading weights.

        Raises:
            UserError: transformers builds none from the configuration.
        """
        config = copy.deepcopy(self.config)
        for name, value in options.items():
            setattr(config, name, value)
        dtype = {} if self.dtype == "auto" else {"dtype": self.dtype}
        with one_line_errors(self.name, "config.json builds no model"):
            model = getattr(transformers, auto_class).from_config(config, **dtype)
        return self._prepared(model)

    def _prepared(self, model: PreTrainedModel) -> PreTrainedModel:
        """`model` with a number for padding; a task head is in float32: it is trained, whatever type the base has."""
        if self.is_half:
            for name in head_modules(model):
                model.get_submodule(name).float()
        configs = (model.config, getattr(model, "generation_config", None)) if self.reads_text else ()
        for config in configs:
            if config is not None and config.pad_token_id is None:
                config.pad_token_id = self.tokenizer.pad_token_id
        return model
