"""What a store of hidden states holds, whom it trusts, and where it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from test_prefix import assert_same, tiny, with_adapter
from tiny_models import tiny_inputs
from torch import Tensor

from peft_bottleneck import reuse_prefix
from peft_bottleneck.prefix import stored_bytes
from peft_bottleneck.prefix.store import INDEX_FILE, ROWS_FILE, Store, folder_bytes

WIDTH = 32


def store_in(folder: Path, **options: Any) -> Store:
    return Store(folder, "f", {}, **{"width": WIDTH, "dtype": torch.float32, "limit": 2**20, **options})


def a_row(number: int, tokens: int = 3) -> tuple[bytes, Tensor]:
    return bytes([number]) * 16, torch.full((tokens, WIDTH), float(number))


def read(store: Store, key: bytes) -> Tensor | None:
    tokens = store.tokens(key)
    if tokens is None:
        return None
    row = torch.empty(tokens, store.width, dtype=store.dtype)
    store.read(key, row)
    return row


def test_another_process_finds_what_was_written(tmp_path: Path) -> None:
    rows = [a_row(number, tokens=number) for number in (1, 2, 5)]
    store_in(tmp_path).write(rows)
    again = store_in(tmp_path)
    assert len(again) == 3
    for key, row in rows:
        found = read(again, key)
        assert found is not None
        assert torch.equal(found, row)
    assert read(again, b"0" * 16) is None
    assert again.size == folder_bytes(tmp_path) == stored_bytes(8, 3, WIDTH, torch.float32)


def test_two_processes_write_to_one_store(tmp_path: Path) -> None:
    one, other = store_in(tmp_path), store_in(tmp_path)
    one.write([a_row(1)])
    other.write([a_row(1), a_row(2)])
    one.write([a_row(3)])
    whole = store_in(tmp_path)
    assert len(whole) == 3
    for number in (1, 2, 3):
        key, row = a_row(number)
        found = read(whole, key)
        assert found is not None
        assert torch.equal(found, row)


@pytest.mark.parametrize("cut", [(ROWS_FILE, 100), (INDEX_FILE, 1), (INDEX_FILE, 31), (INDEX_FILE, 32)])
def test_what_a_killed_process_leaves_is_not_trusted(cut: tuple[str, int], tmp_path: Path) -> None:
    store_in(tmp_path).write([a_row(1), a_row(2)])
    file = tmp_path / "f" / cut[0]
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size - cut[1])
    again = store_in(tmp_path)
    assert torch.equal(read(again, a_row(1)[0]), a_row(1)[1])  # type: ignore[arg-type]
    assert read(again, a_row(2)[0]) is None
    again.write([a_row(2), a_row(3)])
    for store in (again, store_in(tmp_path)):
        for number in (1, 2, 3):
            assert torch.equal(read(store, a_row(number)[0]), a_row(number)[1])  # type: ignore[arg-type]


def test_a_row_that_never_reached_the_disk_is_computed_again(tmp_path: Path) -> None:
    """After a power cut a file may have its length and not its content."""
    store_in(tmp_path).write([a_row(1), a_row(2)])
    with (tmp_path / "f" / ROWS_FILE).open("r+b") as stream:
        stream.write(b"\0" * 64)
    again = store_in(tmp_path)
    assert read(again, a_row(1)[0]) is None
    assert torch.equal(read(again, a_row(2)[0]), a_row(2)[1])  # type: ignore[arg-type]
    again.write([a_row(1)])
    assert torch.equal(read(store_in(tmp_path), a_row(1)[0]), a_row(1)[1])  # type: ignore[arg-type]


def test_the_limit_counts_all_models(tmp_path: Path) -> None:
    row = stored_bytes(3, 1, WIDTH, torch.float32)
    Store(tmp_path, "other", {}, width=WIDTH, dtype=torch.float32, limit=2**20).write([a_row(9)])
    store = store_in(tmp_path, limit=3 * row)
    with pytest.warns(
        UserWarning, match=f"takes no further rows .its limit is {3 * row:,} bytes, and {row:,} of them"
    ):
        assert store.write([a_row(number) for number in (1, 2, 3)]) == 2
    assert store.write([a_row(4)]) == 0  # and says nothing more
    assert folder_bytes(tmp_path) == 3 * row


def test_rows_beyond_the_limit_are_computed_every_time(tmp_path: Path) -> None:
    model = with_adapter(tiny("bert"), "houlsby", [2])
    inputs = tiny_inputs("bert")
    limit = stored_bytes(11, 1, WIDTH, torch.float32) + stored_bytes(7, 1, WIDTH, torch.float32)
    with torch.no_grad():
        expected = model(**inputs)
        with reuse_prefix(model, tmp_path, limit=limit) as prefix:
            with pytest.warns(UserWarning, match="takes no further rows"):
                assert_same(model(**inputs), expected, inputs)
            assert (prefix.rows_computed, prefix.rows_read) == (3, 0)
            output = model(**inputs)
            assert (prefix.rows_computed, prefix.rows_read) == (4, 2)
    torch.testing.assert_close(output.last_hidden_state[0], expected.last_hidden_state[0])
    assert folder_bytes(tmp_path) == limit


def test_another_order_and_padding(tmp_path: Path) -> None:
    """A row is known whatever stands around it."""
    model = with_adapter(tiny("bert"), "houlsby", [2])
    inputs = tiny_inputs("bert")
    padded = {name: torch.cat([tensor, torch.zeros_like(tensor[:, :4])], 1).flip(0) for name, tensor in inputs.items()}
    alone = {name: tensor[1:2, :7] for name, tensor in inputs.items()}
    with torch.no_grad():
        expected = [model(**padded).last_hidden_state[1, :7], model(**alone).last_hidden_state[0]]
        with reuse_prefix(model, tmp_path) as prefix:
            model(**inputs)
            found = [model(**padded).last_hidden_state[1, :7], model(**alone).last_hidden_state[0]]
        assert (prefix.rows_computed, prefix.rows_read) == (3, 4)
    torch.testing.assert_close(found, expected)


def test_other_inputs_are_other_rows(tmp_path: Path) -> None:
    model = with_adapter(tiny("bert"), "houlsby", [2])
    inputs = tiny_inputs("bert")
    segments = torch.zeros_like(inputs["input_ids"])
    segments[:, 5:] = 1
    left = {name: torch.cat([torch.zeros_like(tensor[:, :2]), tensor], 1) for name, tensor in inputs.items()}
    positions = torch.arange(11).flip(0)[None]
    others = [{**inputs, "token_type_ids": segments}, left, {**inputs, "position_ids": positions}]
    with torch.no_grad():
        expected = [model(**other) for other in others]
        with reuse_prefix(model, tmp_path) as prefix:
            model(**inputs)
            for other, wanted in zip(others, expected, strict=True):
                assert_same(model(**other), wanted, other)
    assert (prefix.rows_computed, prefix.rows_read) == (12, 0)


def test_a_changed_base_has_another_store(tmp_path: Path) -> None:
    model = with_adapter(tiny("bert"), "houlsby", [2])
    inputs = tiny_inputs("bert")
    base = model.get_base_model()
    with torch.no_grad(), reuse_prefix(model, tmp_path) as prefix:
        before = model(**inputs)
        base.encoder.layer[0].output.dense.weight[0, 0] += 1  # in place, in the middle of the reuse
        with prefix_off(prefix):
            expected = model(**inputs)
        assert_same(model(**inputs), expected, inputs)
        base.embeddings.word_embeddings.weight.mul_(2)
        with prefix_off(prefix):
            expected = model(**inputs)
        assert_same(model(**inputs), expected, inputs)
        base.pooler.dense.weight.mul_(2)  # behind the blocks: of no concern
        model(**inputs)
        assert prefix.rows_computed == 9
        base.encoder.layer[1].requires_grad_()
        model(**inputs)
        assert prefix.blocks == 1
    assert len(list(tmp_path.iterdir())) == 4
    assert not torch.equal(before.last_hidden_state, expected.last_hidden_state)


class prefix_off:
    def __init__(self, prefix: Any) -> None:
        self.prefix = prefix

    def __enter__(self) -> None:
        self.prefix._plainly = True

    def __exit__(self, *_: object) -> None:
        self.prefix._plainly = False


def test_the_next_run_reads_what_the_last_one_stored(tmp_path: Path) -> None:
    """Another seed of the adapter, another lowest block, and a prediction with the loaded adapter."""
    inputs = tiny_inputs("bert")
    rows = []
    for blocks, trains in (([2], True), ([2], True), ([1], True), ([2], False)):
        model = with_adapter(tiny("bert"), "houlsby", blocks, inference_mode=not trains)
        with torch.no_grad(), reuse_prefix(model, tmp_path) as prefix:
            model(**inputs)
        rows.append((prefix.blocks, prefix.rows_computed, prefix.rows_read))
    assert rows == [(2, 3, 0), (2, 0, 3), (1, 3, 0), (2, 0, 3)]


@pytest.mark.slow
def test_a_run_that_is_killed(tmp_path: Path) -> None:
    """Killed in the middle of writing, again and again: the next process gives what one without reuse gives."""
    script = textwrap.dedent(f"""
        import sys, torch
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_prefix import tiny, with_adapter
        from peft_bottleneck import reuse_prefix
        model = with_adapter(tiny("bert"), "houlsby", [2])
        with torch.no_grad(), reuse_prefix(model, sys.argv[1]):
            for start in range(10_000):
                ids = (torch.arange(44).view(4, 11) * 7 + start * 13) % 96 + 3
                model(input_ids=ids)
                print(start, flush=True)
    """)
    model = with_adapter(tiny("bert"), "houlsby", [2])
    for steps in (1, 12):
        with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(steps):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        with torch.no_grad():
            batches = [{"input_ids": (torch.arange(44).view(4, 11) * 7 + 13 * start) % 96 + 3} for start in range(3)]
            expected = [model(**batch) for batch in batches]
            with reuse_prefix(model, tmp_path) as prefix:
                for batch, wanted in zip(batches, expected, strict=True):
                    assert_same(model(**batch), wanted, batch)
        assert prefix.rows_read >= 4 * min(steps, 3)
