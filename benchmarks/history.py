"""The speed of chosen commits of this repository's history: runs asv on them, prints a table.

    python benchmarks/history.py [options of asv run]

Every commit is installed in turn, in an environment of asv, and the newest suite runs on it;
its rounds go through all commits before the next begins. Times are medians, of answers that
`setup` has checked. A dash means that a version did not have it yet.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

from asv.results import iter_results

HERE = Path(__file__).parent

MILESTONES = {
    "35b815d": "schedules, the noisy quadratic, SGD",
    "588b8b8": "statistics in vector code, after a review",
    "9bac386": "exact theory",
    "8e54e7a": "landscapes",
    "b07b9e2": "measures, optimizers",
    "2973677": "CUDA",
    "32c1cd1": "stores, targets, executors",
    "HEAD": "now",
}

# Row: benchmark, parameters as asv writes them, and the factor to the row's unit.
ROWS = {
    "quadratic, SGD, ms": ("quadratic.Variants.time_run", ("'plain'",), 1e3),
    "quadratic, momentum, ms": ("quadratic.Variants.time_run", ("'momentum'",), 1e3),
    "LeastSquares, ms": ("landscapes.Landscapes.time_run", ("'LeastSquares'", "1"), 1e3),
    "RandomFeatures(relu), ms": (
        "landscapes.Landscapes.time_run",
        ("'RandomFeatures(relu)'", "1"),
        1e3,
    ),
    "Dataset, ms": ("landscapes.Landscapes.time_run", ("'Dataset(squared)'", "1"), 1e3),
    "Wells, ms": ("landscapes.Landscapes.time_run", ("'Wells'", "1"), 1e3),
    "all measures, x the loss alone": ("measures.Cost.track_ratio", ("'all'", "0.0"), 1),
    "exact moments, ms": ("exact.Moments.time_loss_moments", ("0.0",), 1e3),
    "import, s": ("startup.StartUp.time_import", (), 1),
    "first result, filled cache, s": ("startup.StartUp.time_first_result_filled_cache", (), 1),
    "first result, empty cache, s": ("startup.StartUp.time_first_result_empty_cache", (), 1),
    "peak memory, MB": ("startup.Memory.peakmem_run", ("1000000",), 1e-6),
}


def selector(name: str, parameters: tuple[str, ...]) -> str:
    """Return the regular expression by which asv selects one benchmark with its parameters."""
    call = f"{name}({', '.join(parameters)})" if parameters else name
    return f"^{re.escape(call)}$"


def measured(commit: str) -> dict[str, float]:
    """Return the stored values of a commit by row."""
    found = {}
    for result in iter_results(str(HERE / ".asv/results")):
        if result.commit_hash != commit:
            continue
        for row, (name, parameters, factor) in ROWS.items():
            if name not in result.get_all_result_keys():
                continue
            axes = result.get_result_params(name)
            values = result.get_result_value(name, axes) or []
            for combination, value in zip(product(*axes), values, strict=False):
                if combination == parameters and value is not None and math.isfinite(value):
                    found[row] = factor * value
    return found


def main() -> None:
    full = {
        name: subprocess.check_output(["git", "rev-parse", name], cwd=HERE, text=True).strip()
        for name in MILESTONES
    }
    command = [sys.executable, "-m", "asv", "run", "HASHFILE:-", "--interleave-rounds"]
    for name, parameters, _ in ROWS.values():
        command += ["-b", selector(name, parameters)]
    hashes = "\n".join(full.values())
    run = subprocess.run(command + sys.argv[1:], cwd=HERE, input=hashes, text=True)
    columns = [measured(commit) for commit in full.values()]
    print("\n| | " + " | ".join(commit[:7] for commit in full.values()) + " |")
    print("|---" * (len(full) + 1) + "|")
    for row in ROWS:
        cells = [f"{column[row]:.3g}" if row in column else "-" for column in columns]
        print(f"| {row} | {' | '.join(cells)} |")
    words = (f"{full[name][:7]} {what}" for name, what in MILESTONES.items())
    print("\n" + "; ".join(words) + ".")
    sys.exit(run.returncode)


if __name__ == "__main__":
    main()
