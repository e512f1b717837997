"""What a checkpoint of an adapter training may hold."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import nn

BASE_WEIGHTS = ("model*.safetensors", "pytorch_model*", "*.bin")


def assert_holds_adapters_only(checkpoint: Path, model: nn.Module) -> None:
    """Exactly the trained parameters are in its weight file, and there is no other."""
    stray = [path.name for pattern in BASE_WEIGHTS for path in checkpoint.glob(pattern)]
    assert set(stray) <= {"training_args.bin"}
    assert (checkpoint / "adapter_config.json").is_file()
    saved = load_file(checkpoint / "adapter_model.safetensors")
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert len(saved) == len(trained)
    assert sum(tensor.numel() for tensor in saved.values()) == sum(parameter.numel() for parameter in trained)
