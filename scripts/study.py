"""What the study scripts share: their arguments, the style of their figures, their verdicts."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt

from fastsched.result import format_table

# Okabe & Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": "small",
    "lines.linewidth": 1.6,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 130,
}

HOLDS = "holds"
HOLDS_ONLY_WHEN = "holds only when"
DOES_NOT_HOLD = "does not hold here"


class Finding(NamedTuple):
    """What a study found of a claim.

    Attributes
    ----------
    claim : str
        The textbook's sentence.
    verdict : {HOLDS, HOLDS_ONLY_WHEN, DOES_NOT_HOLD}
    reason : str
        The numbers behind it, with standard errors; after `HOLDS_ONLY_WHEN`, the condition first.
    """

    claim: str
    verdict: str
    reason: str


class Outcome(NamedTuple):
    """A study's figure, the rows of its table (headings first), and its findings."""

    figure: plt.Figure
    table: Sequence[Sequence[str]]
    findings: Sequence[Finding]


def verdict(holds: Sequence[bool]) -> str:
    """Return the verdict on a claim from where it holds."""
    return HOLDS if all(holds) else HOLDS_ONLY_WHEN if any(holds) else DOES_NOT_HOLD


def with_error(value: float, error: float, digits: int = 2) -> str:
    """Return `value ± error`, to so many digits of the error."""
    if not error > 0:
        return f"{value:.4g}"
    decimals = digits - 1 - _exponent(error)
    if decimals > 6 or max(abs(value), error) >= 1e7:
        mantissa = max(0, decimals + _exponent(value or error))
        return f"{value:.{mantissa}e} ± {error:.{digits - 1}e}"
    decimals = max(0, decimals)
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def _exponent(value: float) -> int:
    return int(f"{value:e}".split("e")[1])


def main(study: Callable[[bool], Outcome]) -> None:
    """Run a study from the command line: `study(quick)`; its module's docstring is the help."""
    path = Path(inspect.getfile(study))
    parser = argparse.ArgumentParser(
        description=inspect.getmodule(study).__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="fewer trajectories: under 30 s")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path(f"{path.stem}.png"), help="the figure"
    )
    arguments = parser.parse_args()
    with plt.rc_context(STYLE):
        figure, table, findings = study(arguments.quick)
        figure.savefig(arguments.output)
    print("\n".join(format_table(table)))
    for finding in findings:
        print(f"\nclaim:   {finding.claim}\nverdict: {finding.verdict}\n         {finding.reason}")
    print(f"\nfigure: {arguments.output}")
