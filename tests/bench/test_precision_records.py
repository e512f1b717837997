"""The committed records of float32 and bfloat16: the same runs otherwise, and a tie."""

from __future__ import annotations

from pathlib import Path

from peft_bottleneck_bench import records
from peft_bottleneck_bench.boards.comparing import compare

FOLDER = Path(__file__).parents[2] / "benchmarks" / "scores" / "precision"


def test_scores_in_bfloat16_tie_with_those_in_float32() -> None:
    full, half = (
        {record.seed: record for record in records.read_all(FOLDER / name)[0].values()} for name in ("fp32", "bf16")
    )
    assert full.keys() == half.keys() == {0, 1, 2, 3, 4}
    for seed, record in half.items():
        assert record.configuration["training"] == {**full[seed].configuration["training"], "bf16": True}
        assert record.loss_curve != full[seed].loss_curve
    (comparison,), refused = compare(str(FOLDER / "fp32"), str(FOLDER / "bf16"), FOLDER)
    assert not refused
    assert comparison.interval[0] < 0 < comparison.interval[1]
