"""A Markdown table over seeds from run folders: mean and spread of each model's test figures.

for seed in 0 1 2; do pfljax run keyboard --seed $seed --out runs/keyboard-$seed; done
python scripts/results.py runs/keyboard-0 runs/keyboard-1 runs/keyboard-2
"""

import json
import statistics
import sys
from pathlib import Path

COLUMNS = ("mean", "p10", "p90", "worst", "hurt")


def main(folders: list[str]) -> None:
    if not folders:
        sys.exit(f"folders: expected at least one run folder, got none\n{__doc__}")
    summaries = [json.loads((Path(folder) / "summary.json").read_text()) for folder in folders]
    tables = [{(row["model"], row["clients"]): row for row in summary["rows"]} for summary in summaries]
    print(f"| test {summaries[0]['metric']}, {len(folders)} seeds | clients | steps | {' | '.join(COLUMNS)} |")
    print("|---" * (3 + len(COLUMNS)) + "|")
    for model, clients in tables[0]:
        rows = [table[model, clients] for table in tables]
        steps = "/".join(str(step) for step in sorted({row["steps"] for row in rows}))
        print(f"| {model} | {clients} | {steps} | {' | '.join(spread([row[c] for row in rows]) for c in COLUMNS)} |")


def spread(values: list[float]) -> str:
    """mean ± population standard deviation over seeds."""
    return f"{statistics.mean(values):.3f} ± {statistics.pstdev(values):.3f}"


if __name__ == "__main__":
    main(sys.argv[1:])
