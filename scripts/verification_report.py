"""Monte Carlo against exact theory over hundreds of randomly drawn studies.

    python scripts/verification_report.py [--quick] [-o FIGURE]

Of each study, mean, standard deviation and median of the loss and the averaged iterate's loss
give z-scores against their exact values. Prints a table of them by family, and draws their
quantiles against those of the standard normal distribution. They are standard normal if
`fastsched.verification.complaints` has none; else the exit code is 1.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from scipy import stats
from study import COLOURS, DOES_NOT_HOLD, HOLDS, Finding, Outcome, main
from tqdm import tqdm

from fastsched import verification
from fastsched.verification import STATISTICS, Score

BAND = 0.95


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
    figure, axes = plt.subplots(2, 2, figsize=(9, 7), sharex=True, sharey=True)
    for ax, statistic in zip(axes.flat, STATISTICS, strict=True):
        z = np.sort([score.z for score in scores if score.statistic == statistic])
        rank = np.arange(1, len(z) + 1)
        expected = stats.norm.ppf((rank - 0.5) / len(z))
        order = stats.beta(rank, len(z) + 1 - rank)
        low, high = (stats.norm.ppf(order.ppf((1 + s * BAND) / 2)) for s in (-1, 1))
        ax.fill_between(
            expected, low, high, color="0.8", linewidth=0, label=f"{100 * BAND:g} % of each rank"
        )
        ax.plot(expected, expected, color="black", linewidth=0.8, label="standard normal")
        ax.plot(expected, z, ".", color=COLOURS[0], markersize=3, label="z-scores")
        p = stats.kstest(z, "norm").pvalue
        ax.set_title(f"{statistic}: variance {z.var():.3f}, Kolmogorov-Smirnov p = {p:.2f}")
    for ax in axes[1]:
        ax.set_xlabel("standard normal quantile")
    for ax in axes[:, 0]:
        ax.set_ylabel("ordered z-score")
    axes[0, 0].legend()
    figure.suptitle(title)
    return figure


def study(quick: bool) -> Outcome:
    studies = 40 if quick else 400
    scores = list(verification.scores(tqdm(range(studies), unit="study", disable=None)))
    complaints = verification.complaints(scores)
    finding = Finding(
        "Monte Carlo agrees with exact theory: the z-scores of random studies are standard normal",
        DOES_NOT_HOLD if complaints else HOLDS,
        f"{len(scores)} z-scores of {studies} studies; "
        + ("; ".join(complaints) or "nothing to complain about"),
    )
    figure = draw(scores, f"z-scores of {studies} randomly drawn studies")
    return Outcome(figure, table(scores), [finding])


if __name__ == "__main__":
    sys.exit(any(finding.verdict != HOLDS for finding in main(study)))
