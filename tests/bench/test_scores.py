"""The committed records of runs on public data are records, whole, and without text of the data."""

from __future__ import annotations

from pathlib import Path

import pytest

from peft_bottleneck_bench import records
from peft_bottleneck_bench.configuration.yaml_files import read_yaml

FOLDER = Path(__file__).parents[2] / "benchmarks" / "scores"
CONFIGURATIONS = sorted(FOLDER.glob("*.yaml"))
LABELS_ONLY = (  # kinds whose predictions are no text
    *("classification", "multilabel_classification", "image_classification"),
    *("ner", "relation_extraction"),
)


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda path: path.stem)
def test_records_are_those_of_their_configuration(configuration: Path) -> None:
    asked = read_yaml(configuration)
    found, warnings = records.read_all(FOLDER / configuration.stem)
    assert not warnings
    runs = {(record.task, record.method, record.seed) for record in found.values()}
    assert runs == {
        (task["name"], method["label"] if isinstance(method, dict) else method, seed)
        for task in asked["tasks"]
        for method in asked["methods"]
        for seed in asked["seeds"]
    }
    for path, record in found.items():
        assert record.status == "finished"
        assert dict(record.data.counts) == asked.get("limits", dict(record.data.counts))
        predictions = records.predictions_path(path)
        if record.kind in LABELS_ONLY:
            assert predictions.is_file()
        elif predictions.is_file():
            assert all(str(row.prediction).startswith("sha256:") for row in records.read_predictions(predictions))
