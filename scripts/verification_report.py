"""Monte Carlo against exact theory over hundreds of randomly drawn studies.

    python scripts/verification_report.py [--quick] [--studies 400] [-o FIGURE]

Prints a table of the z-scores by family and a verdict, and draws their quantiles against those
of the standard normal distribution.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy import stats
from tqdm import tqdm

from fastsched import verification
from fastsched.result import format_table
from fastsched.verification import STATISTICS, Score

BAND = 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the studies")
    parser.add_argument("--studies", type=int, default=400, help="number of studies")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("verification.png"), help="the figure"
    )
    arguments = parser.parse_args()
    if arguments.studies < 10:
        parser.error(f"--studies {arguments.studies}: at least 10")
    studies = arguments.studies // 10 if arguments.quick else arguments.studies
    numbers = tqdm(range(studies), unit="study", disable=not sys.stderr.isatty())
    scores = list(verification.scores(numbers))
    print("\n".join(format_table(table(scores))))
    figure = draw(scores, f"z-scores of {studies} randomly drawn studies")
    figure.savefig(arguments.output, dpi=110)
    complaints = verification.complaints(scores)
    print(f"\n{len(scores)} z-scores; picture: {arguments.output}")
    print("\n".join(complaints) or "verdict: standard normal, nothing to complain about")
    sys.exit(1 if complaints else 0)


def table(scores: Sequence[Score]) -> list[list[str]]:
    """Return one row for each statistic and each family."""
    rows = [["family", "scores", "mean", "+-", "variance", "+-", "max |z|", "KS p"]]
    groups: dict[str, list[float]] = {}
    for score in scores:
        for name in (
            f"statistic: {score.statistic}",
            *(f"{kind}: {value}" for kind, value in score.families.items()),
        ):
            groups.setdefault(name, []).append(score.z)
    for name in sorted(groups, key=lambda name: (not name.startswith("statistic"), name)):
        z = np.array(groups[name])
        # Scores of different statistics share their run: one in four counts for the errors.
        n = len(z) if name.startswith("statistic") else len(z) / len(STATISTICS)
        p = f"{stats.kstest(z, 'norm').pvalue:.3f}" if name.startswith("statistic") else ""
        rows.append(
            [
                name,
                str(len(z)),
                f"{z.mean():.3f}",
                f"{n**-0.5:.3f}",
                f"{z.var():.3f}",
                f"{(2 / n) ** 0.5:.3f}",
                f"{np.abs(z).max():.2f}",
                p,
            ]
        )
    return rows


def draw(scores: Sequence[Score], title: str) -> plt.Figure:
    """Draw the departure of ordered z-scores from normal quantiles, one panel a statistic."""
    figure, axes = plt.subplots(
        2, 2, figsize=(9, 7), sharex=True, sharey=True, layout="constrained"
    )
    for ax, statistic in zip(axes.flat, STATISTICS, strict=True):
        z = np.sort([score.z for score in scores if score.statistic == statistic])
        rank = np.arange(1, len(z) + 1)
        expected = stats.norm.ppf((rank - 0.5) / len(z))
        order = stats.beta(rank, len(z) + 1 - rank)
        low, high = (stats.norm.ppf(order.ppf((1 + s * BAND) / 2)) for s in (-1, 1))
        ax.fill_between(
            expected, low, high, color="0.8", linewidth=0, label=f"{100 * BAND:g} % of each"
        )
        ax.plot(expected, expected, color="black", linewidth=0.8, label="standard normal")
        ax.plot(expected, z, ".", color="#0072B2", markersize=3, label="z-scores")
        p = stats.kstest(z, "norm").pvalue
        ax.set_title(
            f"{statistic}: variance {z.var():.3f}, Kolmogorov-Smirnov p = {p:.2f}",
            fontsize="medium",
        )
        ax.grid(alpha=0.3)
    for ax in axes[1]:
        ax.set_xlabel("standard normal quantile")
    for ax in axes[:, 0]:
        ax.set_ylabel("ordered z-score")
    axes[0, 0].legend(frameon=False)
    figure.suptitle(title)
    return figure


if __name__ == "__main__":
    main()
