"""The default learning rate and warm-up of every method, from the trials of benchmarks/scores/defaults.yaml.

python benchmarks/choose_defaults.py [RECORDS]

Every method had the same trials on the same two data sets. A setting's shortfall is the best validation score of the
method on a set less the setting's own; the default is the setting with the least mean shortfall over both sets, of
several the one with the lowest rate. The table shows, for each rate and warm-up, the mean shortfall in points.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from peft_bottleneck_bench import read_records

RECORDS = Path(__file__).parent / "scores" / "defaults-search"
Setting = tuple[float, float]  # learning rate, warm-up as a share of all steps


def shortfalls(folder: Path) -> dict[str, dict[Setting, float]]:
    """The mean shortfall of every setting that was tried on all sets, by method."""
    scores: dict[str, dict[Setting, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for record in read_records(folder)[0].values():
        training = record.configuration["training"]
        assert isinstance(training, Mapping)
        setting = (training["learning_rate"], training["warmup_steps"])
        # A run that failed learnt nothing.
        scores[record.method][setting][record.task] = record.validation_score if record.status == "finished" else 0.0
    found = {}
    for method, settings in scores.items():
        tasks = {task for results in settings.values() for task in results}
        best = {task: max(results[task] for results in settings.values() if task in results) for task in tasks}
        found[method] = {
            setting: fmean(best[task] - score for task, score in results.items())
            for setting, results in settings.items()
            if results.keys() == tasks
        }
    return found


def chosen(settings: Mapping[Setting, float]) -> Setting:
    """The setting with the least shortfall; of several the one with the lowest rate and the shortest warm-up."""
    return min(settings, key=lambda setting: (round(settings[setting], 9), setting))


def main() -> None:
    found = shortfalls(Path(sys.argv[1]) if len(sys.argv) > 1 else RECORDS)
    columns = sorted({setting for settings in found.values() for setting in settings})
    print("| method | default | " + " | ".join(f"{rate:g} / {warmup:g}" for rate, warmup in columns) + " |")
    print("| --- | --- |" + " --- |" * len(columns))
    for method, settings in sorted(found.items()):
        rate, warmup = chosen(settings)
        cells = (f"{100 * settings[one]:.1f}" if one in settings else "" for one in columns)
        print(f"| {method} | {rate:g}, {warmup:g} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
