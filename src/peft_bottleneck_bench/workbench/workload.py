"""The measured workload, on any library's models.

It runs in the environment of a peer too.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch

from .memory import PeakMemory

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SHORT = 16  # tokens of a short input, and of a prompt
NEW_TOKENS = 16
STEPS_FOR_MEMORY = 2  # the optimiser's state is there from the first step on


class Library(Protocol):
    """One library: how it builds its candidates, and its other timed operations."""

    def build(self, candidate: str, model: PreTrainedModel) -> PreTrainedModel:
        """The base model with this candidate's parameters open to training."""

    def add_second(self, candidate: str, model: PreTrainedModel) -> None:
        """Loads a second adapter, `other`, beside the first."""

    def switch(self, model: PreTrainedModel, adapter: str) -> None:
        """Makes `first` or `other` the active adapter."""

    def save(self, model: PreTrainedModel, folder: Path) -> None:
        """Saves the first adapter."""

    def load(self, model: PreTrainedModel, folder: Path) -> None:
        """Loads it again, as another one."""

    def forget(self, model: PreTrainedModel) -> None:
        """Removes what `load` has added."""


@dataclass(frozen=True)
class Setting:
    """The base model, the shape of a batch, how many threads compute, and the type of the base's weights."""

    path: str
    causal: bool
    batch: int
    length: int
    threads: int
    dtype: str = "float32"

    def base(self) -> PreTrainedModel:
        """A fresh copy of the base model.

        Memory-mapped weights make small batches faster by some percent than weights that a method creates. So every
        candidate gets its own copy of the weights in memory.
        """
        import transformers

        auto_class = transformers.AutoModelForCausalLM if self.causal else transformers.AutoModel
        model = auto_class.from_pretrained(self.path, dtype=getattr(torch, self.dtype))
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.data = tensor.data.clone()
        return model.to(device())

    def inputs(self, model: PreTrainedModel, batch: int, length: int) -> dict[str, torch.Tensor]:
        """Random tokens without padding, the same for every candidate."""
        generator = torch.Generator().manual_seed(0)
        tokens = torch.randint(0, model.config.vocab_size, (batch, length), generator=generator).to(device())
        return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}


def device() -> torch.device:
    """The device of the measurements: the accelerator if there is one."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")


class Session:
    """The candidates of one library in one process; `seconds` and `peak_bytes` are the two questions to it."""

    def __init__(self, library: Library, setting: Setting) -> None:
        torch.set_num_threads(setting.threads)
        self.library = library
        self.setting = setting
        self.models: dict[str, PreTrainedModel] = {}
        self.optimizers: dict[str, torch.optim.Optimizer | None] = {}
        self.timed: dict[str, Callable[[str], float]] = {
            "train": self._train,
            "infer_short": lambda name: self._infer(name, 1, SHORT),
            "infer_one": lambda name: self._infer(name, 1, self.setting.length),
            "infer_batch": lambda name: self._infer(name, self.setting.batch, self.setting.length),
            "generate": self._generate,
            "inject": self._inject,
            "switch": self._switch,
            "load": self._load,
        }

    def prepare(self, candidate: str) -> None:
        """Builds a candidate, if it is not there already."""
        if candidate not in self.models:
            torch.manual_seed(0)
            model = self.library.build(candidate, self.setting.base().train())
            self.models[candidate] = model
            trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
            # As in Trainer.
            self.optimizers[candidate] = torch.optim.AdamW(trained, lr=1e-4, fused=True) if trained else None

    def release(self) -> None:
        """Forgets all candidates."""
        self.models.clear()
        self.optimizers.clear()
        gc.collect()

    def seconds(self, candidate: str, quantity: str) -> float:
        """One turn of a candidate at a quantity."""
        return self.timed[quantity](candidate)

    def peak_bytes(self, candidate: str, length: int) -> int:
        """What training adds to the memory of the loaded model at its peak: activations, gradients, optimiser."""
        self.release()
        self.prepare(candidate)
        model = self._in_mode(candidate, training=True)
        inputs = self.setting.inputs(model, self.setting.batch, length)
        with PeakMemory() as peak:
            for _ in range(STEPS_FOR_MEMORY):
                self._step(candidate, model, inputs)
        return peak.added

    def _train(self, candidate: str) -> float:
        model = self._in_mode(candidate, training=True)
        inputs = self.setting.inputs(model, self.setting.batch, self.setting.length)
        return _clock(lambda: self._step(candidate, model, inputs))

    def _in_mode(self, candidate: str, *, training: bool) -> PreTrainedModel:
        """A candidate in training or in eval mode.

        Visiting all modules of a model with many adapters before every turn would fill the processor's caches, and
        slow the measured work down.
        """
        model = self.models[candidate]
        return model.train(training) if model.training != training else model

    def _step(self, candidate: str, model: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> None:
        optimizer = self.optimizers[candidate]
        if self.setting.causal:
            loss = model(**inputs, labels=inputs["input_ids"]).loss
        else:
            loss = model(**inputs).last_hidden_state.float().square().mean()
        loss.backward()
        if optimizer is not None:
            optimizer.step()
            optimizer.zero_grad()

    def _infer(self, candidate: str, batch: int, length: int) -> float:
        model = self._in_mode(candidate, training=False)
        inputs = self.setting.inputs(model, batch, length)
        with torch.inference_mode():
            return _clock(lambda: model(**inputs))

    def _generate(self, candidate: str) -> float:
        """Seconds per token."""
        model = self._in_mode(candidate, training=False)
        inputs = self.setting.inputs(model, 1, SHORT)
        options = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False, "pad_token_id": 0}
        with torch.inference_mode():
            return _clock(lambda: model.generate(**inputs, **options)) / NEW_TOKENS

    def _inject(self, candidate: str) -> float:
        base = self.setting.base()
        return _clock(lambda: self.library.build(candidate, base))

    def _switch(self, candidate: str) -> float:
        model = self._with_second(candidate)
        seconds = _clock(lambda: self.library.switch(model, "other"))
        self.library.switch(model, "first")
        return seconds

    def _load(self, candidate: str) -> float:
        model = self._with_second(candidate)
        with tempfile.TemporaryDirectory() as folder:
            self.library.save(model, Path(folder))
            seconds = _clock(lambda: self.library.load(model, Path(folder)))
        self.library.forget(model)
        return seconds

    def _with_second(self, candidate: str) -> PreTrainedModel:
        """A copy of the candidate with two adapters, for operations that change a model."""
        key = f"{candidate} and another"
        if key not in self.models:
            model = self.library.build(candidate, self.setting.base())
            self.library.add_second(candidate, model)
            self.models[key] = model
        return self.models[key]


def _clock(call: Callable[[], object]) -> float:
    _synchronize()
    start = time.perf_counter()
    call()
    _synchronize()
    return time.perf_counter() - start


def _synchronize() -> None:
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
