"""How the cost of an update depends on size, steps, trajectories and threads, side by side.

Each table varies one thing, with the default record of 64 steps; the variants take turns, and a
ratio is the median over rounds of the ratio to the first variant within a round. Answers are
checked against the exact moments first.

    python benchmarks/scaling.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping

import numba
from suite.common import check, median_ratio, seconds_of, seconds_of_run, study, take_turns
from suite.startup import FIRST_RESULT, start

import fastsched as fs

ROWS: dict[str, dict[str, fs.Study]] = {
    "dimension (T = 500, equal work)": {
        f"d = {d:,}": study(d, max(32, 2_000_000 // d), 500) for d in (1000, 10, 100, 10_000, 10**5)
    },
    "trajectories (d = 100, T = 500)": {
        f"N = {n:,}": study(100, n, 500) for n in (10**4, 10**3, 10**5, 10**6)
    },
    "steps (d = 100, equal work)": {
        f"T = {t:,}": study(100, 40_000_000 // t, t) for t in (1000, 100, 10_000, 10**5)
    },
}


def cost(value: fs.Study) -> float:
    """Return the nanoseconds of one coordinate update of a whole run."""
    return 1e9 * seconds_of_run(value) / (value.landscape.dim * value.trajectories * value.steps)


def table(title: str, variants: Mapping[str, Callable[[], float]], rounds: int) -> None:
    """Print the median of each variant and its ratio to the first."""
    print(f"\n| {title} | ratio |\n|---|---|---|")
    values = take_turns({name: lambda k, f=f: f() for name, f in variants.items()}, rounds)
    base = next(iter(values.values()))
    for name, measured in values.items():
        print(
            f"| {name} | {statistics.median(measured):.3f} | {median_ratio(measured, base):.3f} |"
        )


def with_threads(threads: int, value: fs.Study) -> float:
    """Return the cost with a number of threads."""
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        return cost(value)
    finally:
        numba.set_num_threads(before)


def cold(script: str) -> float:
    """Return the seconds of a new process with an empty cache."""
    with tempfile.TemporaryDirectory() as empty:
        return seconds_of(lambda: start(script, empty))


def peak_memory(value: fs.Study) -> float:
    """Return the peak memory of a new process that runs a study, in MB (Linux)."""
    script = (
        "import re, fastsched as fs; "
        f"fs.run(fs.Study.from_toml({value.to_toml()!r}), progress=False); "
        "print(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    return int(done.stdout) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    for title, variants in ROWS.items():
        for value in variants.values():
            check(value.replace(trajectories=min(value.trajectories, 10_000)))
        costs = {name: lambda v=v: cost(v) for name, v in variants.items()}
        table(f"{title} | ns per update", costs, rounds)
    value = study(1000, 4096, 200)
    threads = {f"{n}": lambda n=n: with_threads(n, value) for n in (2, 1)}
    table("threads (d = 1000) | ns per update", threads, rounds)
    with tempfile.TemporaryDirectory() as cache:
        start(FIRST_RESULT, cache)
        processes = {
            "first result, filled cache": lambda: seconds_of(lambda: start(FIRST_RESULT, cache)),
            "first result, empty cache": lambda: cold(FIRST_RESULT),
            "import fastsched": lambda: seconds_of(lambda: start("import fastsched", cache)),
        }
        table("start-up, new process | seconds", processes, rounds)
    memory = {
        f"N = {n:,}": lambda n=n: peak_memory(study(100, n, 20)) for n in (1000, 100_000, 1_000_000)
    }
    table("peak memory of a process (d = 100, T = 20) | MB", memory, 1)


if __name__ == "__main__":
    main()
