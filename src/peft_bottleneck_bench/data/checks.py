"""Notes on unusual examples, before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ..kinds import Kind
from ..words import quoted
from .file_rows import Row
from .labels import near_identical

MOST_LABELS = 12  # that are listed one by one
IMBALANCE = 10  # of the most frequent label to the rarest, from which it is said


def notes_on(splits: Mapping[str, Sequence[Row]], kind: Kind, labels: Sequence[str]) -> list[str]:
    """Label counts and imbalance, scores that are all equal, duplicates inside and across splits, empty texts and
    near-identical labels: one sentence each.
    """
    return [
        *_on_labels(splits["train"], kind, labels),
        *_on_scores(splits, kind),
        *_on_duplicates(splits, kind),
        *_on_empty(splits, kind),
    ]


def _on_labels(train: Sequence[Row], kind: Kind, labels: Sequence[str]) -> Iterable[str]:
    if not labels:
        return
    counts = Counter(name for example in train for name in kind.labels_of(example))
    ordered = sorted(labels, key=lambda name: -counts[name])
    listed = ", ".join(f"{_beside_a_number(name)} {counts[name]:,}" for name in ordered[:MOST_LABELS])
    more = f" and {len(labels) - MOST_LABELS} more" if len(labels) > MOST_LABELS else ""
    yield f"{len(labels)} labels in train: {listed}{more}"
    if once := [name for name in ordered if counts[name] == 1]:
        yield f"labels with one example in train: {quoted(once)}"
    if never := [name for name in ordered if not counts[name]]:
        yield f"labels without an example in train: {quoted(never)}"
    most, least = counts[ordered[0]], min((count for count in counts.values() if count), default=0)
    if least > 1 and most >= IMBALANCE * least:
        yield f"the most frequent label has {most / least:.0f} times the examples of the rarest"
    for names in near_identical(labels):
        yield f"labels that are nearly the same: {quoted(names)}"


def _beside_a_number(label: str) -> str:
    """A label that ends in a digit in quotes: `'5' 12`, where `5 12` reads as one number."""
    return f"'{label}'" if label[-1:].isdigit() else label


def _on_scores(splits: Mapping[str, Sequence[Row]], kind: Kind) -> Iterable[str]:
    """A regression whose target is constant: there is nothing to learn, or no correlation to measure."""
    for split, examples in splits.items():
        scores = set(kind.references(examples)) if kind.metrics == ("regression",) else ()
        if len(scores) == 1:
            (score,) = scores
            yield f"all scores of {split} are {score}: correlations with them are undefined, and count as 0"


def _on_duplicates(splits: Mapping[str, Sequence[Row]], kind: Kind) -> Iterable[str]:
    exact = {split: Counter(map(kind.input_text, examples)) for split, examples in splits.items()}
    folded = {split: _folded(counts) for split, counts in exact.items()}
    for split in splits:
        if again := sum(exact[split].values()) - len(exact[split]):
            yield f"examples of {split} with the text of another one of it: {again:,}"
    names = list(splits)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            same = sum(count for text, count in exact[other].items() if text in exact[one])
            alike = sum(count for text, count in folded[other].items() if text in folded[one]) - same
            if same or alike:
                also = f", and {alike:,} but for case and spaces" if alike else ""
                yield f"examples of {other} with the text of one of {one}: {same:,}{also}"


def _folded(counts: Mapping[str, int]) -> Counter[str]:
    folded: Counter[str] = Counter()
    for text, count in counts.items():
        folded[" ".join(text.casefold().split())] += count
    return folded


def _on_empty(splits: Mapping[str, Sequence[Row]], kind: Kind) -> Iterable[str]:
    for split, examples in splits.items():
        if empty := sum(not kind.input_text(example).strip() for example in examples):
            yield f"examples of {split} without text: {empty:,}"
