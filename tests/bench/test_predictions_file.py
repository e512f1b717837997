"""The predictions beside a record: equal rows give equal bytes, and odd files are refused."""

from __future__ import annotations

import gzip
import resource
import time
from pathlib import Path

import pytest

from peft_bottleneck_bench import records


def test_predictions_come_back_and_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    rows = [records.Prediction(split="test", index=i, reference="gut ✓\u2028", prediction=["B-X"]) for i in range(3)]
    path = records.predictions_path(tmp_path / "sst2.v1.json")
    assert path.name == "sst2.v1.predictions.jsonl.gz"
    records.write_predictions(rows, path)
    first = path.read_bytes()
    time.sleep(1.1)  # a gzip header would hold the time in seconds
    records.write_predictions(rows, tmp_path / "again.jsonl.gz")
    assert first == (tmp_path / "again.jsonl.gz").read_bytes()
    assert records.read_predictions(path) == rows
    path.write_bytes(first[:-9])
    with pytest.raises(ValueError, match=f"{path}: not a predictions file"):
        records.read_predictions(path)
    path.write_bytes(
        gzip.compress(b'{"split": "test", "index": 0, "reference": 1, "prediction": 1}\n{"split": "test"}')
    )
    with pytest.raises(ValueError, match="row 1: index is missing; reference is missing; prediction is missing$"):
        records.read_predictions(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"\xff\xfe\n"), gzip.compress(b"[]\n")],
    ids=["empty", "no gzip", "no text", "no mapping"],
)
def test_an_odd_predictions_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "p.jsonl.gz"
    path.write_bytes(content)
    if content:
        with pytest.raises(ValueError, match=f"^{path}: "):
            records.read_predictions(path)
    else:
        assert records.read_predictions(path) == []


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    """Records come from others, as a clone or an archive may bring links."""
    rows = [records.Prediction(split="test", index=0, reference="a", prediction="b")]
    secret, folder = tmp_path / "secret.gz", tmp_path / "records"
    records.write_predictions(rows, secret)
    records.write_predictions(rows, folder / "sound.gz")
    (folder / "inside.gz").symlink_to("sound.gz")
    (folder / "outside.gz").symlink_to(secret)
    (tmp_path / "linked").symlink_to(folder)
    assert records.read_predictions(tmp_path / "linked" / "inside.gz") == rows
    with pytest.raises(ValueError, match="outside.gz: a link that leads out of its folder"):
        records.read_predictions(folder / "outside.gz")


def test_a_small_file_that_holds_gigabytes_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(600):
            file.write(b" " * 2**20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="holds more than 256 MiB"):
        records.read_predictions(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600 * 1024  # KiB
