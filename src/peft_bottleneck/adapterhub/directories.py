"""Directories of AdapterHub's library: one adapter, or a fusion with its adapters."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from peft import PeftModel
from transformers import PreTrainedModel

from ..composition import Average, Fusion
from . import checkpoints
from .fusion import adapters_beside, add_fusion, fusion_in, read_fusion, write_fusion


def load_adapterhub(
    model: PreTrainedModel,
    path: str | os.PathLike[str],
    adapter_name: str = "default",
    *,
    leave_out: Sequence[int] = (),
) -> PeftModel:
    """Puts an AdapterHub checkpoint into a model, as a new adapter that can be trained further.

    Args:
        model: a transformers model, bare or with a head, which is adapted in place; or a `PeftModel`, which gets one
            adapter more and keeps the active one.
        path: the checkpoint's directory, or the id of its repository on the hub. A prediction head in it becomes the
            adapter's copy of the model's own head, and its labels the model's; a head that the model's class does
            not compute is left out, with a warning that says why. A directory of a fusion holds the adapters that it
            is made of in folders beside it; they keep their names, and may be in the model already.
        adapter_name: the adapter's, or the fusion's, name in the `PeftModel`, whatever the checkpoint calls it.
        leave_out: layers to leave out, although the checkpoint has bottlenecks there (the last one in MAD-X 2.0). The
            layers of a decoder count on from those of its encoder.

    Raises:
        FileNotFoundError: `path` is no directory and no repository, or lacks a file.
        ValueError: the checkpoint is another model's, or holds what our equations do not express; the message names
            all of it. The model is then as before.
    """
    folder = fusion_in(Path(path)) if os.path.isdir(path) else None
    if folder is None:
        return checkpoints.load_checkpoint(model, path, adapter_name, leave_out=leave_out)
    where = f"AdapterHub checkpoint {str(path)!r}"
    fusion, _ = read_fusion(folder, where)
    given = model if isinstance(model, PeftModel) else None
    there = set(given.peft_config) if given is not None else set()
    if adapter_name in there | set(fusion.adapters):
        raise ValueError(f"{where}: the model has, or the fusion is made of, an adapter {adapter_name!r}")
    beside = adapters_beside(folder, where)
    missing = [adapter for adapter in fusion.adapters if adapter not in there | beside.keys()]
    if missing:
        raise ValueError(f"{where}: the adapters {missing} are neither in the model nor beside the fusion")
    active = given.active_adapters if given is not None else None
    loaded: list[str] = []
    adapted = model
    try:
        for adapter in [adapter for adapter in fusion.adapters if adapter not in there]:
            adapted = checkpoints.load_checkpoint(adapted, beside[adapter], adapter, leave_out=leave_out)
            loaded.append(adapter)
        add_fusion(adapted, folder, fusion, adapter_name, where, resizable=given is None)
    except (ValueError, FileNotFoundError):
        if given is None and loaded:
            adapted.unload()
        for adapter in loaded if given is not None else ():
            adapted.delete_adapter(adapter)
        raise
    if active is not None:
        adapted.base_model.set_adapter(active)
    result: PeftModel = adapted
    return result


def save_adapterhub(model: PeftModel, path: str | os.PathLike[str], adapter_name: str = "default") -> None:
    """Writes an adapter as a directory that AdapterHub's library reads.

    A fusion becomes the folder `fusion`, for `load_adapter_fusion`, beside one for each adapter that it is made of,
    for `load_adapter`. Modules to save that are the model's head are written as a prediction head.

    Raises:
        ValueError: the model has no such adapter, or it computes what the library does not; the message names all of
            it. Nothing is written of that adapter then.
    """
    composition = getattr(model.peft_config.get(adapter_name), "composition", None)
    if isinstance(composition, Average):
        raise ValueError(
            f"adapter {adapter_name!r} cannot be written for AdapterHub: the library saves no averages; save "
            f"{composition.adapters}, and activate Average(…) there"
        )
    if not isinstance(composition, Fusion):
        checkpoints.save_adapterhub(model, path, adapter_name)
        return
    for adapter in composition.adapters:
        checkpoints.save_adapterhub(model, Path(path) / adapter, adapter)
    write_fusion(model, Path(path) / "fusion", composition, adapter_name)
