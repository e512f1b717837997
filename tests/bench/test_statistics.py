"""Statistics on tables whose truth is known because they are drawn from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, friedmanchisquare, norm

from peft_bottleneck_bench import metrics
from peft_bottleneck_bench.statistics import (
    LEVEL,
    POWER,
    Ranking,
    Sample,
    average_ranks,
    holm,
    mean_and_std,
    rank,
    resampled_scores,
)
from peft_bottleneck_bench.statistics.spread import Estimate


@dataclass(frozen=True)
class World:
    """Where tables come from: an example is answered correctly if a sum of normal terms is above `threshold`.

    Args:
        difficulty: spread of the examples, shared by all methods.
        affinity: spread of what a method finds easy.
        flicker: spread of what a seed's run finds easy.
        luck: spread of the seeds as a whole.
    """

    difficulty: float = 1.0
    affinity: float = 0.2
    flicker: float = 0.5
    luck: float = 0.0
    threshold: float = -1.0

    def table(
        self, generator: np.random.Generator, shifts: Sequence[float], seeds: int, examples: int
    ) -> dict[str, Sample]:
        """A method per shift of the threshold in its favour: equal shifts, equal methods."""

        def normal(spread: float, *shape: int) -> Any:
            return generator.normal(0.0, spread, size=shape)

        methods = len(shifts)
        ability = (
            normal(self.difficulty, 1, 1, examples)
            + normal(self.affinity, methods, 1, examples)
            + normal(self.flicker, methods, seeds, examples)
            + normal(self.luck, methods, seeds, 1)
            + np.asarray(shifts)[:, None, None]
        )
        return samples((ability > self.threshold).astype(int))


def samples(right: Any) -> dict[str, Sample]:
    """Samples by accuracy, where `right` is 1 or 0: [methods, seeds, examples]."""
    methods, seeds, examples = right.shape
    runs = [run.tolist() for method in right for run in method]
    drawn = resampled_scores(metrics.load("classification"), [1] * examples, runs).reshape(methods, seeds, -1)
    return {
        f"m{index}": Sample(method.mean(-1), draws, method.tolist())
        for index, (method, draws) in enumerate(zip(right, drawn, strict=True))
    }


def tables(world: World, shifts: Sequence[float], seeds: int, examples: int, count: int) -> list[Ranking]:
    generator = np.random.default_rng(5)
    return [rank(world.table(generator, shifts, seeds, examples)) for _ in range(count)]


EQUAL = [0.0] * 4
WORLDS = {
    "runs flicker": World(),
    "runs have luck": World(flicker=0.3, luck=0.2),
    "methods differ in what they find easy": World(affinity=0.6, flicker=0.05),
    "near the ceiling": World(threshold=-3.0),
}


def assert_promise_kept(rankings: Sequence[Ranking]) -> None:
    """That equal methods were separated no more often than promised, within binomial error."""
    wrong = sum(any(pair.separated for pair in ranking.pairs.values()) for ranking in rankings)
    assert wrong <= binom.ppf(0.999, len(rankings), 1 - LEVEL)
    # A tier boundary needs a separated pair, so the promise holds for tiers all the more.
    assert sum(max(s.tier or 0 for s in r.standings.values()) > 1 for r in rankings) <= wrong


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS.keys())
def test_equal_methods_land_in_one_tier_at_the_promised_rate(world: World) -> None:
    assert_promise_kept(tables(world, EQUAL, seeds=3, examples=200, count=150))


def test_with_one_seed_the_promise_holds_for_the_runs_at_hand() -> None:
    assert_promise_kept(tables(World(), EQUAL, seeds=1, examples=200, count=300))


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS.keys())
@pytest.mark.parametrize(("methods", "seeds", "examples"), [(2, 2, 300), (6, 2, 300), (9, 3, 300), (4, 5, 500)])
def test_the_promise_holds_for_tables_of_many_shapes(world: World, methods: int, seeds: int, examples: int) -> None:
    assert_promise_kept(tables(world, [0.0] * methods, seeds, examples, count=200))


@pytest.mark.slow
def test_the_interval_covers_the_expected_score_at_the_promised_rate() -> None:
    world = WORLDS["runs have luck"]
    spread = np.sqrt(world.difficulty**2 + world.affinity**2 + world.flicker**2 + world.luck**2)
    expected = norm.sf(world.threshold, scale=spread)
    rankings = tables(world, EQUAL, seeds=3, examples=300, count=400)
    intervals = [ranking.standings["m0"].interval for ranking in rankings]
    covered = sum(bounds is not None and bounds[0] <= expected <= bounds[1] for bounds in intervals)
    assert covered >= binom.ppf(0.001, len(rankings), LEVEL)


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_real_gap_separates(seeds: int) -> None:
    rankings = tables(World(), [0.0, 0.0, 1.5, 1.5], seeds, examples=400, count=20)
    good = [{name for name, standing in r.standings.items() if standing.tier == 1} for r in rankings]
    assert sum(names == {"m2", "m3"} for names in good) >= 18


def test_tiers_are_consistent_with_means_and_tests() -> None:
    for ranking in tables(World(luck=0.1), np.linspace(0, 1.2, 7).tolist(), seeds=3, examples=400, count=20):
        standings = list(ranking.standings.values())
        assert [s.mean for s in standings] == sorted((s.mean for s in standings), reverse=True)
        tiers = [s.tier or 0 for s in standings]
        assert tiers[0] == 1
        assert all(later - earlier in (0, 1) for earlier, later in pairwise(tiers))
        for (better, worse), pair in ranking.pairs.items():
            if not pair.separated:  # what the data cannot separate shares a tier
                assert ranking.standings[better].tier == ranking.standings[worse].tier
        for place, standing in enumerate(standings, start=1):
            best, worst = standing.ranks or (0, 0)
            assert 1 <= best <= place <= worst <= len(standings)


def test_the_same_samples_in_any_order_give_the_same_ranking() -> None:
    table = World().table(np.random.default_rng(1), [0.0, 0.3, 0.6], 3, 200)
    assert rank(table) == rank(dict(reversed(table.items()))) == rank(table)


def test_ties_are_ties() -> None:
    right = np.random.default_rng(2).integers(2, size=(1, 3, 100)).repeat(3, axis=0)
    ranking = rank(samples(right))
    assert {(pair.p_value, pair.corrected) for pair in ranking.pairs.values()} == {(1.0, 1.0)}
    assert [(s.tier, s.ranks) for s in ranking.standings.values()] == [(1, (1, 3))] * 3
    assert list(ranking.standings) == ["m0", "m1", "m2"]


def test_smaller_may_be_better() -> None:
    table = World().table(np.random.default_rng(3), [0.0, 2.0], 2, 500)
    assert list(rank(table).standings) == ["m1", "m0"]
    assert list(rank(table, greater_is_better=False).standings) == ["m0", "m1"]


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("examples", [1, 2, 5])
def test_few_data_neither_crash_nor_separate(seeds: int, examples: int) -> None:
    right = np.stack([np.zeros((seeds, examples), int), np.ones((seeds, examples), int)])
    ranking = rank(samples(right))
    assert [standing.tier for standing in ranking.standings.values()] == [1, 1] or examples == 5
    assert all(0 <= pair.p_value <= pair.corrected <= 1 for pair in ranking.pairs.values())


def test_an_interval_ends_where_scores_do() -> None:
    """Seeds that differ widely around 0.5 and examples by the dozen: the t interval alone reaches beyond both ends."""
    right = np.stack([np.stack([np.arange(12) < count for count in (1, 11)]).astype(int)] * 2)
    free, held = (rank(samples(right), **options).standings["m0"].interval for options in ({}, {"limits": (0, 1)}))
    assert free is not None
    assert free[0] < 0
    assert free[1] > 1
    assert held == (0, 1)


def test_one_method_alone_is_first() -> None:
    (standing,) = rank(World().table(np.random.default_rng(4), [0.0], 3, 50)).standings.values()
    assert (standing.tier, standing.ranks) == (1, (1, 1))


def test_one_seed_has_no_standard_deviation() -> None:
    assert mean_and_std([0.5]) == (0.5, None)
    assert mean_and_std([0.25, 0.75]) == (0.5, pytest.approx(np.sqrt(0.125)))


def test_an_untrained_model_has_no_seed_noise() -> None:
    generator = np.random.default_rng(8)
    table = World(luck=0.5).table(generator, [0.0, 0.0, 0.0], 3, 300)
    constant = samples(np.repeat(generator.integers(2, size=(1, 1, 300)), 3, axis=1))["m0"]
    lower, upper = rank({**table, "untrained": constant}).standings["untrained"].interval or (0, 0)
    share = constant.scores[0]
    assert upper - lower == pytest.approx(2 * 1.968 * np.sqrt(share * (1 - share) / 300), rel=0.1)


def test_resamples_pair_runs_and_agree_with_theory() -> None:
    right = np.random.default_rng(9).integers(2, size=400).tolist()
    metric = metrics.load("classification")
    first, second = resampled_scores(metric, [1] * 400, [right, right])
    assert np.array_equal(first, second)
    share = np.mean(right)
    assert first.mean() == pytest.approx(share, abs=0.005)
    assert first.std() == pytest.approx(np.sqrt(share * (1 - share) / 400), rel=0.1)
    assert not np.array_equal(first, resampled_scores(metric, [1] * 400, [right], seed=1)[0])


def test_many_examples_are_drawn_piecewise_with_the_same_law() -> None:
    n = 2**22 // 300  # some 300 draws fit into memory at once
    right = np.random.default_rng(10).integers(2, size=n)
    (scores,) = resampled_scores(metrics.load("classification"), [1] * n, [right.tolist()])
    assert scores.mean() == pytest.approx(right.mean(), abs=1e-3)
    assert scores.std() == pytest.approx(np.sqrt(right.mean() * (1 - right.mean()) / n), rel=0.1)


def test_holm_is_the_step_down_procedure() -> None:
    adjusted = holm({("a", "b"): 0.01, ("a", "c"): 0.04, ("b", "c"): 0.03})
    assert adjusted == {("a", "b"): 0.03, ("a", "c"): pytest.approx(0.06), ("b", "c"): pytest.approx(0.06)}


def test_a_pair_reads_the_same_from_both_sides() -> None:
    ranking = rank(World().table(np.random.default_rng(3), [0.0, 1.0], 2, 300))
    ((better, worse),) = ranking.pairs
    there, back = ranking.between(better, worse), ranking.between(worse, better)
    assert there.difference == -back.difference > 0
    assert there.interval == (-back.interval[1], -back.interval[0])
    assert there == back.reversed


def test_a_difference_of_the_detectable_size_is_found_with_the_promised_power() -> None:
    """Two methods whose examples are independent coins: the true difference is known."""
    generator, examples, base = np.random.default_rng(6), 400, 0.7
    flat = rank(samples((generator.random((2, 1, examples)) < base).astype(int)))
    detectable = flat.detectable
    assert detectable is not None
    error = np.sqrt(2 * base * (1 - base) / examples)
    assert detectable == pytest.approx((1.96 + 0.84) * error, rel=0.1)
    chances = np.array([base, base + detectable])[:, None, None]
    found = [
        next(iter(rank(samples((generator.random((2, 1, examples)) < chances).astype(int))).pairs.values())).separated
        for _ in range(200)
    ]
    assert binom.ppf(0.001, 200, POWER) <= sum(found) <= binom.ppf(0.999, 200, POWER + 0.05)


def test_average_ranks_are_demsars() -> None:
    """The worked example of Demšar 2006: C4.5 and three variants on 14 data sets."""
    table = {
        "C4.5": [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957],
        "m": [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978],
        "cf": [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.000, 0.965, 0.614, 0.9751, 0.946],
        "m+cf": [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.000, 0.962, 0.669, 0.975, 0.970],
    }
    found = average_ranks(table, greater_is_better=[True] * 14)
    assert found.ranks == pytest.approx({"m+cf": 1.964, "m": 2.0, "cf": 2.893, "C4.5": 3.143}, abs=2e-3)
    assert found.critical == pytest.approx(1.25, abs=0.01)
    assert found.p_value == pytest.approx(friedmanchisquare(*table.values()).pvalue)
    assert not found.separated(3.143 - 2.0)  # the paper: Nemenyi's test does not find m better than C4.5
    mirrored = average_ranks({name: [-s for s in row] for name, row in table.items()}, greater_is_better=[False] * 14)
    assert mirrored == found


def test_average_ranks_separate_no_equal_methods_and_need_two_tasks() -> None:
    generator = np.random.default_rng(7)
    false = [
        len(
            average_ranks(
                dict(zip("abcd", generator.random((4, 9)), strict=True)), greater_is_better=[True] * 9
            ).may_be_best
        )
        < 4
        for _ in range(400)
    ]
    assert sum(false) <= binom.ppf(0.999, 400, 1 - LEVEL)
    tied = average_ranks({"a": [0.5, 0.5], "b": [0.5, 0.5]}, greater_is_better=[True, True])
    assert (tied.ranks, tied.p_value, tied.may_be_best) == ({"a": 1.5, "b": 1.5}, 1.0, ["a", "b"])
    with pytest.raises(ValueError, match="2 methods on 1 tasks"):
        average_ranks({"a": [0.5], "b": [0.4]}, greater_is_better=[True])


def test_the_last_digits_of_sums_change_no_figure() -> None:
    """They depend on the number of threads, and with them the bytes of committed pages would."""
    one, other = Estimate(0.8, 0.1, 20.0), Estimate(0.8, 0.1 * (1 + 1e-13), 20.0)
    assert one.interval(0.95) == other.interval(0.95)
    assert one.p_value == other.p_value
    assert one.detectable(0.05, 0.8) == other.detectable(0.05, 0.8)
