"""Every command that takes a folder of records or adapters takes its address too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from peft import get_peft_model
from safetensors.torch import load_file
from tiny_task import write_configuration, write_splits
from transformers import AutoModel

from peft_bottleneck import HoulsbyConfig
from peft_bottleneck_bench import predict, records
from peft_bottleneck_bench.boards.comparing import compare
from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.records import remote

Configure = Callable[..., Path]
ADDRESS = "memory://bucket/results"
ADAPTERS = f"{ADDRESS}-adapters"


def upload(store: MemoryFileSystem, folder: Path, address: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            place = f"{address.removeprefix('memory:/')}/{path.relative_to(folder).as_posix()}"
            store.pipe_file(place, path.read_bytes())


def out_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory, bert: Path) -> Path:
    """The results of a grid in a folder, its adapters beside it."""
    folder = tmp_path_factory.mktemp("grid")
    assert main(["run", str(write_configuration(folder, bert, write_splits(folder)))]) == 0
    return folder / "results"


@pytest.fixture
def results(grid: Path, store: MemoryFileSystem) -> Path:
    """The same at the address too."""
    upload(store, grid, ADDRESS)
    upload(store, grid.with_name("results-adapters"), ADAPTERS)
    return grid


@pytest.mark.parametrize("form", ["{}", "{}/"])
def test_methods_folders_and_records_are_compared_at_an_address(
    results: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    address = form.format(ADDRESS)
    capsys.readouterr()
    here = json.loads(out_of(capsys, "compare", "houlsby", "head_only", "--results", str(results), "--json"))
    there = json.loads(out_of(capsys, "compare", "houlsby", "head_only", "--results", address, "--json"))
    assert there == here
    assert "houlsby" in out_of(capsys, "compare", address, str(results))
    houlsby, head_only = (
        next(path for path, record in records.read_all(results)[0].items() if record.method == method)
        for method in ("houlsby", "head_only")
    )
    one = f"{ADDRESS}/{houlsby.relative_to(results).as_posix()}"
    both = json.loads(out_of(capsys, "compare", one, str(head_only), "--json"))
    assert both["comparisons"][0]["difference"] == here["comparisons"][0]["difference"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("houlsby", "lora", "--results", "memory://none/results"), "memory://none/results: no such folder"),
        (("memory://none/a", "memory://none/b"), "memory://none/a: no such folder"),
        (("memory://none/a/seed0.json", "memory://none/b"), "memory://none/a/seed0.json: no such folder"),
        (("foo://none/a", "houlsby"), "foo://none/a: Protocol not known: foo"),
        (("memory://" + "a" * 200, "b"), "longer than 200 characters, written as a file name"),
    ],
)
def test_what_is_at_no_address_is_one_line(
    store: MemoryFileSystem, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert main(["compare", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_name_with_colons_is_no_address() -> None:
    with pytest.raises(UserError, match=r"unused: no such folder"):
        compare("lora::small", "lora::large", Path("unused"))


def test_an_adapter_predicts_from_its_address(
    results: Path, store: MemoryFileSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    adapters = results.with_name("results-adapters")
    folder = next(path.parent for path in adapters.rglob("houlsby/*/run.json"))
    address = f"{ADAPTERS}/{folder.relative_to(adapters).as_posix()}"
    here = out_of(capsys, "predict", str(folder), "a good day", "--json")
    assert out_of(capsys, "predict", address, "a good day", "--json") == here
    assert out_of(capsys, "predict", f"file://{folder}", "a good day", "--json") == here
    (row,) = predict(address, ["a good day"])
    assert row == json.loads(here)

    # What is at the address counts, and not what an earlier command brought.
    root = address.removeprefix("memory:/")
    weights = f"{root}/adapter_model.safetensors"
    sound = store.cat_file(weights)
    store.pipe_file(weights, sound[:-4] + b"\0\0\0\1")
    assert main(["predict", address, "a good day"]) == 2
    assert f"error: {address}/adapter_model.safetensors: not as the run saved it" in capsys.readouterr().err
    store.rm_file(weights)
    assert main(["predict", address, "a good day"]) == 2
    assert capsys.readouterr().err == f"error: {address}/adapter_model.safetensors: no such file\n"
    store.pipe_file(weights, sound)
    store.pipe_file(f"{root}/adapter_model.bin", b"")
    assert out_of(capsys, "predict", address, "a good day", "--json") == here


def test_a_folder_that_is_no_adapter_says_where_one_is(
    results: Path, store: MemoryFileSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", ADAPTERS, "a good day"]) == 2
    message = capsys.readouterr().err
    assert message.startswith(
        f"error: {ADAPTERS}: not saved by a run: it has no run.json; choose one of those below it: {ADAPTERS}/"
    )
    below = message.rpartition(" ")[2].strip()
    assert store.exists(f"{below.removeprefix('memory:/')}/run.json")
    assert not list(remote.copied(ADAPTERS, wanted=lambda place: place.endswith("run.json")).rglob("*.safetensors"))
    assert main(["predict", "memory://none/adapter", "a good day"]) == 2
    assert capsys.readouterr().err == "error: memory://none/adapter: no such folder\n"
    assert main(["predict", below, "a good day", "--reuse-prefix", "memory://bucket/prefix"]) == 2
    assert "--reuse-prefix: expected a folder of this machine" in capsys.readouterr().err


def test_training_continues_from_an_adapter_at_an_address(
    results: Path, configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapters = results.with_name("results-adapters")
    saved = next(path.parent for path in adapters.rglob("houlsby/*/run.json"))
    address = f"{ADAPTERS}/{saved.relative_to(adapters).as_posix()}"
    found = []
    for number, init_adapter in enumerate((str(saved), address)):
        path = str(configure(results=str(tmp_path / f"continued{number}")))
        assert main(["run", path, "--init-adapter", init_adapter]) == 0
        (record,) = records.read_all(tmp_path / f"continued{number}")[0].values()
        found.append((record.run, record.metrics, record.loss_curve))
    assert found[0] == found[1]
    capsys.readouterr()
    assert main(["run", path, "--init-adapter", ADAPTERS, "--dry-run"]) == 2
    assert f"run.yaml: {ADAPTERS}: not saved by a run" in capsys.readouterr().err


def test_records_are_published_to_an_address(
    results: Path, store: MemoryFileSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    target = "memory://bucket/published"
    assert out_of(capsys, "publish", ADDRESS, target).endswith(f"2 records written below {target}\n")
    assert len(records.read_all(remote.fetched(target))[0]) == 2
    assert out_of(capsys, "check", target, "--against", ADDRESS) == f"2 records below {target}: nothing is wrong\n"
    assert out_of(capsys, "publish", ADDRESS, target)  # once more, over it


def test_adapters_are_converted_between_addresses(
    store: MemoryFileSystem, tmp_path: Path, bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config: Any = HoulsbyConfig(reduction_factor=8, init_weights=False)
    get_peft_model(AutoModel.from_pretrained(bert), config).save_pretrained(tmp_path / "mine")
    upload(store, tmp_path / "mine", "memory://bucket/mine")
    hub, back = "memory://bucket/hub", "memory://bucket/back"
    assert out_of(capsys, "convert", "memory://bucket/mine", hub).startswith(f"{hub}: written for AdapterHub")
    assert out_of(capsys, "convert", hub, back, "--model", str(bert)).startswith(f"{back}: written for PEFT")
    mine, there = (
        load_file(remote.copied(place) / "adapter_model.safetensors") for place in (tmp_path / "mine", back)
    )
    assert mine.keys() == there.keys()
    assert all(mine[name].equal(there[name]) for name in mine)
    assert main(["convert", hub, back, "--model", str(bert)]) == 2
    assert capsys.readouterr().err == f"error: {back} exists and is not empty\n"
    upload(store, tmp_path / "mine", "memory://bucket/several/one")
    upload(store, tmp_path / "mine", "memory://bucket/several/two")
    assert "2 of 2 adapters converted into memory://bucket/all" in out_of(
        capsys, "convert", "memory://bucket/several", "memory://bucket/all"
    )
    assert store.exists("/bucket/all/one/adapter_config.json")
