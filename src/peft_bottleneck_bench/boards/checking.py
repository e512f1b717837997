"""Checks of records, for boards that take the records of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .. import records
from ..records import Record
from ..run import PROTOCOL, run_hash
from .samples import read_tests

TOLERANCE = 1e-6


def check(folder: Path, against: Path | None = None) -> tuple[int, list[str]]:
    """The number of records below `folder`, and their errors, one line each.

    Args:
        against: a folder whose records must have the same data and metric on the tasks that both have.
    """
    found, problems = records.read_all(folder)
    if not found and not problems:
        problems.append(f"{folder}: no records below it")
    others = records.read_all(against)[0] if against is not None else {}
    known = {(one.task, one.model): (path, one) for path, one in others.items()}
    seen: dict[tuple[str, str], Path] = {}
    for path, record in found.items():
        problems += [f"{path}: {problem}" for problem in _problems(path, record)]
        place = (record.task, record.run)
        if place in seen:
            problems.append(f"{path}: the same run as {seen[place]}")
        seen.setdefault(place, path)
        # Without another folder, the records of one task must agree with each other.
        like, other = known.setdefault((record.task, record.model), (path, record))
        if other.data.identity != record.data.identity:
            problems.append(f"{path}: other data than {like}: {_data(record)}, not {_data(other)}")
        if other.metric != record.metric or other.main_metric != record.main_metric:
            problems.append(f"{path}: scored by another metric than {like}: {_metric(record)}, not {_metric(other)}")
    return len(found), problems


def _problems(path: Path, record: Record) -> Iterator[str]:
    configuration = record.configuration
    if configuration.get("protocol") != PROTOCOL:
        yield f"protocol {configuration.get('protocol')}: this version's is {PROTOCOL}"
    elif run_hash(configuration) != record.run:
        yield f"run is '{record.run}', but its configuration has the hash '{run_hash(configuration)}'"
    for name in ("task", "kind", "seed"):
        if configuration.get(name) != getattr(record, name):
            yield f"{name} is {getattr(record, name)!r}, but the configuration has {configuration.get(name)!r}"
    if record.finished < record.started:
        yield "finished before it started"
    if record.status == "failed":
        return
    tests = read_tests({path: record})
    yield from tests.problems.values()
    for predictions in tests.predictions.values():
        if len(predictions) != record.data.counts.test:
            yield f"{len(predictions)} predictions for {record.data.counts.test} test examples"
        if tests.metric is None:
            continue
        score = float(tests.metric.score(tests.contributions([path]).sum(axis=0)))
        if abs(score - record.test_score) > TOLERANCE * max(1.0, abs(score)):
            yield f"{record.main_metric} is {record.test_score}, but the predictions give {score}"


def _data(record: Record) -> str:
    data = record.data
    identity = data.revision or (data.sha256 or "no hash")[:12]
    return f"{data.source} ({identity}, {' / '.join(str(count) for _, count in data.counts)} examples)"


def _metric(record: Record) -> str:
    return f"{record.main_metric}, {record.metric.signature}"
