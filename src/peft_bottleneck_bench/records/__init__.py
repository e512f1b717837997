"""Records: one JSON file per run, with a compressed file of its predictions beside it.

Records are written once and never changed; every table is a function of them. `Record` is the whole schema. It gives
the JSON Schema (`Record.model_json_schema()`) and the types with which `datasets.load_dataset` reads records of any
tasks together:

    records, _ = read_all(Path("results"))
    load_dataset("json", data_files=[str(path) for path in records], features=features(records.values()))
"""

from .arrow import features
from .files import read, read_all, read_if_there, write
from .predictions import Prediction, predictions_path, read_predictions, write_predictions
from .schema import (
    SCHEMA_VERSION,
    TIME_FORMAT,
    Counts,
    DataUsed,
    Hardware,
    MetricUsed,
    Points,
    Record,
    ReportRow,
    Scores,
)

__all__ = [
    "SCHEMA_VERSION",
    "TIME_FORMAT",
    "Counts",
    "DataUsed",
    "Hardware",
    "MetricUsed",
    "Points",
    "Prediction",
    "Record",
    "ReportRow",
    "Scores",
    "features",
    "predictions_path",
    "read",
    "read_all",
    "read_if_there",
    "read_predictions",
    "write",
    "write_predictions",
]
