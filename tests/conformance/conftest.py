"""The table of counts at the end of a run."""

from __future__ import annotations

from collections import Counter

import pytest
from upstream import Outcome

OUTCOMES = pytest.StashKey[list[Outcome]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[OUTCOMES] = []


@pytest.fixture
def outcomes(request: pytest.FixtureRequest) -> list[Outcome]:
    """What has run so far, in full; it is printed at the end."""
    return request.config.stash[OUTCOMES]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    outcomes = config.stash[OUTCOMES]
    if not outcomes:
        return
    versions = outcomes[0].summary
    write = terminalreporter.write_line
    terminalreporter.section(f"PEFT {versions['peft']}, transformers {versions['transformers']}")
    write(f"{'suite':<34}{'passed':>8}{'deselected':>12}{'skipped':>9}{'failed':>8}")
    for outcome in outcomes:
        counts = [sum(outcome.summary[key].values()) for key in ("deselected", "skipped")]
        write(
            f"{outcome.suite:<34}{outcome.summary['passed']:>8}{counts[0]:>12}{counts[1]:>9}"
            f"{outcome.summary['failed']:>8}"
        )
    for key in ("deselected", "skipped"):
        reasons: Counter[str] = Counter()
        for outcome in outcomes:
            reasons.update(outcome.summary[key])
        for reason, count in reasons.most_common():
            write(f"{count:>6} {key}: {reason}")
