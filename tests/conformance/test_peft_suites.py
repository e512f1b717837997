"""PEFT's own test suites, run with our methods in the place of PEFT's.

Everything else here serves this: `upstream` fetches and runs them, `substitution` is the plugin they run under,
`our_cases` are our parametrisations, `opened` the skips that are lifted, `deselected` what does not run and why, and
`tiny_hub` the models. The counts are printed at the end, and written to `build/conformance`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_hub
from deselected import CHECKED_AGAINST
from upstream import SUITES, Outcome, run, suites

RESULTS = Path(__file__).parents[2] / "build" / "conformance"


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_hub.build(tmp_path_factory.mktemp("hub"))


def check(outcome: Outcome) -> None:
    """Something ran, and nothing failed."""
    if outcome.code != 0 or outcome.summary["failed"]:
        pytest.fail(f"{outcome.suite} of PEFT failed:\n{outcome.output}", pytrace=False)
    assert outcome.summary["passed"] > 0


def test_first_cases(hub: Path) -> None:
    # In one process, which saves minutes; the other suites inherit the same tests.
    check(run(hub, "test_config", "test_custom_models", "test_decoder_models", fast=True))


@pytest.mark.conformance
@pytest.mark.parametrize("suite", SUITES)
def test_suite(suite: str, hub: Path, outcomes: list[Outcome]) -> None:
    if suite not in suites():
        pytest.skip(f"this version of PEFT has no {suite}")
    outcome = run(hub, suite)
    check(outcome)
    outcomes.append(outcome)
    RESULTS.mkdir(parents=True, exist_ok=True)
    summaries = json.dumps({done.suite: done.summary for done in outcomes}, indent=2, ensure_ascii=False)
    (RESULTS / f"peft-{outcome.summary['peft']}.json").write_text(summaries + "\n", encoding="utf-8")
    if outcome.summary["peft"].startswith(f"{CHECKED_AGAINST}."):
        assert not outcome.summary["unused"], "lines of the table that meet no test"
