"""Results at an address of fsspec: they come there, are not made twice, and nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from peft_bottleneck_bench import leaderboard, read_records, records
from peft_bottleneck_bench.cli import main
from peft_bottleneck_bench.configuration.reading import load_configuration
from peft_bottleneck_bench.errors import UserError
from peft_bottleneck_bench.files import StorageError
from peft_bottleneck_bench.grid.running import run_grid
from peft_bottleneck_bench.grid.search import plan_grid
from peft_bottleneck_bench.records import remote
from peft_bottleneck_bench.training.execute import failed

Configure = Callable[..., Path]
ADDRESS = "memory://bucket/results"


def at(store: MemoryFileSystem, address: str = ADDRESS) -> dict[str, bytes]:
    """The files at an address, by their place there."""
    root = address.removeprefix("memory:/")
    return {name.removeprefix(f"{root}/"): store.cat_file(name) for name in store.find(root)}


def below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_grid_comes_to_its_address_and_another_machine_does_not_repeat_it(
    configure: Configure,
    store: MemoryFileSystem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = str(configure(methods=["head_only", "untuned"], results=ADDRESS))
    assert main(["run", path]) == 0
    assert f"2 records below {ADDRESS}, adapters below {ADDRESS}-adapters" in capsys.readouterr().out
    folder = remote.folder_of(ADDRESS)
    sent = at(store)
    assert sent == below(folder)
    assert sorted(name.partition(".")[2] for name in sent) == ["html", "json", "json", *["predictions.jsonl.gz"] * 2]
    adapters = at(store, f"{ADDRESS}-adapters")
    assert adapters == below(remote.folder_of(f"{ADDRESS}-adapters"))
    assert [name.rpartition("/")[2] for name in adapters].count("run.json") == 2

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
    assert main(["run", path]) == 0
    assert "2 of 2 runs are finished already and are skipped" in capsys.readouterr().out
    assert {name: content for name, content in at(store).items() if "html" not in name} == {
        name: content for name, content in sent.items() if "html" not in name
    }

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a third"))
    assert main(["check", ADDRESS]) == 0
    assert "2 records below memory://bucket/results: nothing is wrong" in capsys.readouterr().out
    assert main(["leaderboard", f"{ADDRESS}/"]) == 0
    assert "head_only" in capsys.readouterr().out
    assert {"LEADERBOARD.md", "index.html"} < at(store).keys()
    assert any(name.startswith("pictures/") for name in at(store))
    found, left_out = read_records(ADDRESS)
    assert (len(leaderboard(found)), left_out) == (1, [])


def test_what_cannot_be_sent_stays_here_and_is_sent_by_the_next_start(
    configure: Configure,
    store: MemoryFileSystem,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = str(configure(methods=["untuned"], results=ADDRESS))
    pipe_file = MemoryFileSystem.pipe_file

    def refuse(self: MemoryFileSystem, name: str, *arguments: Any, **options: Any) -> None:
        if name.endswith(".json"):
            raise PermissionError("the key has expired")
        pipe_file(self, name, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "pipe_file", refuse)
        assert main(["run", path]) == 4
    out = capsys.readouterr().out
    folder = remote.folder_of(f"{ADDRESS}-adapters")
    assert f"; {ADDRESS}-adapters: cannot be written to: the key has expired; the files stay in {folder}" in out
    assert not [name for name in at(store) if name.endswith(".json")]
    assert main(["run", path]) == 0
    out = capsys.readouterr().out
    assert f"1 record of earlier starts only here: sent to {ADDRESS}" in out
    assert "1 of 1 runs are finished already" in out
    assert at(store) == below(remote.folder_of(ADDRESS))
    assert at(store, f"{ADDRESS}-adapters") == below(folder)


def test_a_finished_record_stays_before_a_failed_one(configure: Configure, store: MemoryFileSystem) -> None:
    """The address has a failure of another machine, and then this one; and the other way round."""
    (run,), _ = plan_grid(load_configuration(configure(methods=["untuned"], results=ADDRESS), ()))
    (record,) = run_grid([run]).records.values()
    finished = below(run.results)
    failed(run, "of memory")
    (name,) = (name for name in finished if name.endswith(".json"))
    failure = run.record_path.read_bytes()
    assert remote.unsent(run.results, [run.record_path]) == [run.record_path]
    remote.fetch(run.results)
    assert records.read(run.record_path) == record
    store.pipe_file(f"/bucket/results/{name}", failure)
    remote.fetch(run.results)
    assert below(run.results) == finished
    assert remote.unsent(run.results, [run.record_path]) == [run.record_path]


def test_what_another_machine_has_finished_meanwhile_is_left_to_it(
    configure: Configure, store: MemoryFileSystem
) -> None:
    (run,), _ = plan_grid(load_configuration(configure(methods=["untuned"], results=ADDRESS), ()))
    run_grid([run])
    other = below(run.results)
    for place in other:
        (run.results / place).unlink()  # this machine has not looked since
    grid = run_grid([run])
    assert len(grid.records) == 1
    assert below(run.results) == other == at(store)


def test_trials_of_a_search_come_to_an_address_too(configure: Configure, store: MemoryFileSystem) -> None:
    pytest.importorskip("optuna")
    search = {"trials": 2, "space": {"learning_rate": [1e-3, 1e-2]}}
    training = {"num_train_epochs": 1, "per_device_train_batch_size": 32}
    path = str(configure(methods=["head_only"], search=search, training=training, results=ADDRESS))
    assert main(["run", path]) == 0
    assert sum(name.endswith(".json") for name in at(store, f"{ADDRESS}-search")) == 2
    assert sum(name.endswith(".json") for name in at(store)) == 1


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("foo://bucket/results", "results: foo://bucket/results: Protocol not known: foo"),
        pytest.param(
            "s3://bucket/results",
            "results: s3://bucket/results: 's3' needs another package: pip install \"fsspec[s3]\" "
            "(Install s3fs to access S3)",
            marks=pytest.mark.skipif(find_spec("s3fs") is not None, reason="s3fs is installed"),
        ),
        ("memory://", "results: memory://: expected a folder behind the protocol"),
        (
            "http://127.0.0.1:9/results",
            "results: http://127.0.0.1:9/results: cannot be written to: Cannot connect to host",
        ),
        ("memory://" + "a" * 200, "longer than 200 characters, written as a file name"),
        ("zip://a::file:///no/such.zip", "results: zip://a::file:///no/such.zip: [Errno 2] No such file"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_by_the_dry_run(
    configure: Configure, store: MemoryFileSystem, capsys: pytest.CaptureFixture[str], address: str, message: str
) -> None:
    assert main(["run", str(configure(results=address)), "--dry-run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_the_dry_run_leaves_nothing_at_an_address(configure: Configure, store: MemoryFileSystem) -> None:
    assert main(["run", str(configure(methods=["untuned"], results=ADDRESS)), "--dry-run"]) == 0
    assert not store.find("/")


def test_an_address_that_cannot_be_read_is_one_line(
    store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError("no route\nto host")

    monkeypatch.setattr(MemoryFileSystem, "exists", refuse)
    assert main(["check", ADDRESS]) == 2
    assert capsys.readouterr().err == f"error: {ADDRESS}: cannot be read: no route\n"
    with pytest.raises(UserError, match="cannot be read"):
        remote.fetched(ADDRESS)
    with pytest.raises(StorageError, match="cannot be written to"):
        remote.check(ADDRESS)


def test_names_that_leave_the_folder_are_not_fetched(store: MemoryFileSystem) -> None:
    store.store.clear()
    for name in ("a/../../evil.json", ".hidden.json", "page.html", "fine.json"):
        store.store[f"/bucket/results/{name}"] = store.open(f"/bucket/results/{name}", "wb")
    folder = remote.fetched(ADDRESS)
    assert [path.name for path in folder.rglob("*")] == ["fine.json"]
    assert not (folder.parent / "evil.json").exists()


def test_file_addresses_are_folders(tmp_path: Path) -> None:
    assert remote.folder_of(f"file://{tmp_path}/results/") == tmp_path / "results"
    assert remote.folder_of("results") == Path("results")
    assert remote.address_of(tmp_path / "results") is None
    assert remote.address_of(remote.folder_of(f"{ADDRESS}/")) == ADDRESS
    assert remote.address_of(Path(f"{remote.folder_of(ADDRESS)}-search")) == f"{ADDRESS}-search"


def test_a_grid_at_a_file_address(configure: Configure, tmp_path: Path) -> None:
    address = f"file://{tmp_path}/there"
    assert main(["run", str(configure(methods=["untuned"], results=address))]) == 0
    assert len(records.read_all(tmp_path / "there")[0]) == 1
    assert list((tmp_path / "there-adapters").rglob("run.json"))
    assert main(["check", address]) == 0
