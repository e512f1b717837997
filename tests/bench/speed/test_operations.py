"""What the library adds to a step beside its equation: no operation on a tensor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_task import save_model
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedTokenizerFast

from peft_bottleneck_bench.speed.candidates import Peft
from peft_bottleneck_bench.workbench.workload import Session, Setting


class Operations(TorchDispatchMode):
    """Notes every operation that reaches a device, with the shapes of the tensors that it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[str, tuple[Any, ...]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        shapes = tuple(tuple(arg.shape) for arg in args if isinstance(arg, torch.Tensor))
        self.noted.append((str(func), shapes))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("quantity", ["train", "infer_one"])
@pytest.mark.parametrize("family", ["bert", "llama"])
def test_a_step_has_the_operations_of_bare_calls_and_no_others(
    family: str, quantity: str, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    path = save_model(family, tmp_path / family, tokenizer)
    session = Session(Peft(), Setting(str(path), family == "llama", 2, 24, 1))
    noted = {}
    for candidate in ("houlsby", "houlsby, bare calls", "lora"):
        session.prepare(candidate)
        session.seconds(candidate, quantity)
        with Operations() as operations:
            session.seconds(candidate, quantity)
        noted[candidate] = operations.noted
    assert noted["houlsby"] == noted["houlsby, bare calls"]
    assert noted["houlsby"] != noted["lora"]
