"""Bases that Accelerate spreads over a GPU and main memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from equations import METHODS, layers, loss, on_gpu, output, randomise
from peft import PeftModel, get_peft_model
from tiny_models import tiny_inputs, tiny_model
from transformers import AutoModel

MAPS: dict[str, dict[str, dict[str, Any]]] = {
    "bert": {
        "gpu": {"": 0},
        "gpu and cpu": {"embeddings": 0, "encoder.layer.0": 0, "encoder.layer.1": "cpu", "pooler": 0},
    },
    "llama": {
        "gpu": {"": 0},
        "gpu and cpu": {"embed_tokens": 0, "layers.0": "cpu", "layers.1": 0, "norm": 0, "rotary_emb": 0},
    },
}
CLOSE = dict(atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("places", ["gpu", "gpu and cpu"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model_type", MAPS)
def test_adapted_trained_saved_and_loaded(model_type: str, method: str, places: str, tmp_path: Path) -> None:
    def spread() -> Any:
        return AutoModel.from_pretrained(tmp_path / "base", device_map=MAPS[model_type][places]).eval()

    tiny_model(model_type).save_pretrained(tmp_path / "base")
    inputs = tiny_inputs(model_type)
    model = get_peft_model(spread(), METHODS[method]()).eval()
    assert len(layers(model)) > 0
    plain = output(tiny_model(model_type), inputs)
    torch.testing.assert_close(output(model, on_gpu(inputs)).cpu(), plain, **CLOSE)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    for _ in range(2):
        loss(model(**on_gpu(inputs))[0]).backward()
        optimizer.step()
        optimizer.zero_grad()
    trained = output(model, on_gpu(inputs)).cpu()
    assert not torch.allclose(trained, plain, **CLOSE)
    model.save_pretrained(tmp_path / "adapter")
    on_cpu = PeftModel.from_pretrained(tiny_model(model_type), tmp_path / "adapter", torch_device="cpu").eval()
    torch.testing.assert_close(output(on_cpu, inputs), trained, **CLOSE)
    again = PeftModel.from_pretrained(spread(), tmp_path / "adapter").eval()
    torch.testing.assert_close(output(again, on_gpu(inputs)).cpu(), trained, **CLOSE)


@pytest.mark.parametrize("method", METHODS)
def test_auto(method: str, tmp_path: Path) -> None:
    """Accelerate's own choice, with room for a part of the model on the GPU."""
    tiny_model("bert", hidden_size=64, intermediate_size=256, num_hidden_layers=6).save_pretrained(tmp_path)
    model = AutoModel.from_pretrained(tmp_path, device_map="auto", max_memory={0: "700KB", "cpu": "1GB"}).eval()
    assert {str(place) for place in model.hf_device_map.values()} == {"0", "cpu"}
    inputs = on_gpu(tiny_inputs("bert"))
    plain = output(model, inputs)
    adapted = get_peft_model(model, METHODS[method]()).eval()
    torch.testing.assert_close(output(adapted, inputs), plain, **CLOSE)
    assert not torch.allclose(output(randomise(adapted), inputs), plain, **CLOSE)
