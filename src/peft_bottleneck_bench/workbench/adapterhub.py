"""AdapterHub's library, at bottlenecks of the same places and sizes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import adapters  # type: ignore[import-not-found]  # lives in an environment of its own

if TYPE_CHECKING:
    from transformers import PreTrainedModel

REDUCTION = 16


class AdapterHub:
    """`adapters` 1.x as a `Library`."""

    def build(self, candidate: str, model: PreTrainedModel) -> PreTrainedModel:
        config = {
            "houlsby": adapters.DoubleSeqBnConfig(reduction_factor=REDUCTION),
            "pfeiffer": adapters.SeqBnConfig(reduction_factor=REDUCTION),
            "parallel_adapter": adapters.ParBnConfig(reduction_factor=REDUCTION),
        }[candidate]
        adapters.init(model)
        model.add_adapter("first", config=config)
        model.adapter_to("first", device=model.device, dtype=model.dtype)
        model.train_adapter("first")
        return model

    def add_second(self, candidate: str, model: PreTrainedModel) -> None:
        model.add_adapter("other", config=model.adapters_config.get("first"))
        model.adapter_to("other", device=model.device, dtype=model.dtype)

    def switch(self, model: PreTrainedModel, adapter: str) -> None:
        model.set_active_adapters(adapter)

    def save(self, model: PreTrainedModel, folder: Path) -> None:
        model.save_adapter(str(folder), "first")

    def load(self, model: PreTrainedModel, folder: Path) -> None:
        model.load_adapter(str(folder), load_as="loaded")

    def forget(self, model: PreTrainedModel) -> None:
        model.delete_adapter("loaded")
