"""Robbins and Monro's conditions: which decays converge, and how fast.

    python scripts/robbins_monro.py [--quick] [-o FIGURE]

SGD on a noisy quadratic of curvature h = 1 and gradient noise c = 1 in 16 dimensions, over a long
horizon n: rates a/(t+b)^p on both sides of the conditions sum eta_t = infinity and sum eta_t^2 <
infinity, a constant rate and an exponential decay. The slope of the expected loss over the last
decade of steps stands beside its exact value and the exponent of its limit, and the loss beside
that limit: per coordinate E x^2 -> a^2 c/((2 a h - 1) n) for p = 1 and 2 a h > 1, a^2 c log n/n
where 2 a h = 1, n^(-2 a h) times a constant below; eta_n c/(2 h) for p < 1. Besides, the first
passage of single trajectories to a low loss.

A family counts as converging if its loss falls by a tenth or more over the last decade, by four
standard errors. The claim holds if its conditions are met by the families that converge and no
others; it holds only with a weaker second condition if eta_t -> 0 in its place tells them apart.

Sources: Robbins & Monro, Ann. Math. Stat. 22 (1951) 400; Chung, Ann. Math. Stat. 25 (1954) 463;
Fabian, Ann. Math. Stat. 39 (1968) 1327.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from study import (
    COLOURS,
    DOES_NOT_HOLD,
    HOLDS,
    HOLDS_ONLY_WHEN,
    Finding,
    Outcome,
    main,
    simulate,
    with_error,
)

import fastsched as fs
from fastsched.result import Result

CLAIM = (
    "2. A rate must become small enough to suppress noise, but not so fast that the valley is "
    "never reached: sum eta = infinity, sum eta^2 < infinity"
)
DIM, RATE, OFFSET = 16, 0.2, 4.0
LEVEL = 0.005  # of the loss; the start's is 8
THRESHOLD = 4.0
STALLED = 0.9


class Family(NamedTuple):
    """A schedule, its two sums, and the limit law of E x^2 at step n with its exponent."""

    schedule: fs.Schedule
    infinite_sum: bool
    finite_square_sum: bool
    exponent: float
    limit: Callable[[int], float] | None = None

    @property
    def admitted(self) -> bool:
        """Whether the conditions of Robbins and Monro are met."""
        return self.infinite_sum and self.finite_square_sum

    @property
    def weakly_admitted(self) -> bool:
        """Whether the sum is infinite and the rate vanishes."""
        return self.infinite_sum and not isinstance(self.schedule, fs.Constant)


def slow_decay(schedule: fs.Schedule, exponent: float) -> Family:
    """Return the family of an exponent p < 1."""
    return Family(schedule, True, exponent > 0.5, -exponent, lambda n: schedule(n) / 2)


FAMILIES = {
    "p = 3/4": slow_decay(fs.PowerLaw(RATE, 0.75, OFFSET), 0.75),
    "p = 1, a = 2": Family(fs.InverseTime(2.0, OFFSET), True, True, -1.0, lambda n: 4 / (3 * n)),
    "p = 1, a = 1/2": Family(
        fs.InverseTime(0.5, OFFSET), True, True, -1.0, lambda n: np.log(n) / (4 * n)
    ),
    "p = 1, a = 1/5": Family(fs.InverseTime(0.2, OFFSET), True, True, -0.4),
    "constant": Family(fs.Constant(RATE), True, False, 0.0, lambda n: RATE / (2 - RATE)),
    "p = 1/4": slow_decay(fs.PowerLaw(RATE, 0.25, OFFSET), 0.25),
    "p = 1/2": slow_decay(fs.InverseSqrt(RATE * OFFSET**0.5, OFFSET), 0.5),
    "p = 2": Family(fs.PowerLaw(RATE, 2.0, OFFSET), False, True, 0.0),
    "exponential": Family(fs.Exponential(RATE, 0.99), False, True, 0.0),
}


class Run(NamedTuple):
    """A family's result, exact losses, and slope of log loss over the last decade."""

    family: Family
    result: Result
    exact: np.ndarray
    slope: float
    error: float
    exact_slope: float

    @property
    def converges(self) -> bool:
        return self.slope + THRESHOLD * self.error < np.log10(STALLED)


def run(family: Family, steps: int, trajectories: int) -> Run:
    """Run a family; the decade's two losses count as independent, which overrates the error."""
    record = np.unique(np.geomspace(1, steps, 1 + 8 * round(np.log10(steps))).astype(int))
    measures = (fs.Loss(()), fs.HittingTime(LEVEL))
    study = fs.Study(
        fs.Quadratic(np.ones(DIM)),
        fs.SGD(family.schedule),
        steps,
        trajectories,
        record=record,
        measures=measures,
    )
    result, exact = simulate(study), fs.exact(study)["loss"].values
    decade = [np.searchsorted(record, steps // 10), -1]
    loss, error = result["loss"].values[decade], result["loss_se"].values[decade]
    return Run(
        family,
        result,
        exact,
        float(np.diff(np.log10(loss))[0]),
        float(np.hypot(*(error / loss)) / np.log(10)),
        float(np.diff(np.log10(exact[decade]))[0]),
    )


def draw(runs: dict[str, Run]) -> plt.Figure:
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.6))
    axes[1].sharey(axes[0])
    panels = (
        [(name, r) for name, r in runs.items() if r.family.admitted],
        [(name, r) for name, r in runs.items() if not r.family.admitted],
    )
    for ax, panel, style in zip(axes, panels, ("-", ":"), strict=False):
        for colour, (name, r) in zip(COLOURS, panel, strict=False):
            step, error = r.result["step"], 2 * r.result["loss_se"]
            ax.errorbar(step, r.result["loss"], error, fmt=".", color=colour, label=name)
            ax.plot(step, r.exact, "--", color=colour, linewidth=1.2)
            survival, band = r.result["hitting_survival"], 2 * r.result["hitting_survival_se"]
            axes[2].plot(step, survival, style, color=colour, label=name)
            shown = {"color": colour, "alpha": 0.2, "linewidth": 0}
            axes[2].fill_between(step, survival - band, survival + band, **shown)
        ax.plot([], [], "k--", linewidth=1.2, label="exact")
        ax.set(xscale="log", yscale="log", xlabel="step")
        ax.legend(loc="lower left")
    axes[0].set(ylabel="loss (mean ± 2 standard errors)", title="conditions met")
    axes[1].set(title="conditions violated")
    axes[2].set(
        xscale="log",
        xlabel="step",
        ylabel="fraction of trajectories (± 2 standard errors)",
        title=f"not yet at loss {LEVEL:g} (dotted: conditions violated)",
    )
    axes[2].legend(loc="lower left")
    return figure


def judge(runs: dict[str, Run]) -> Finding:
    slopes = "; ".join(f"{name}: {with_error(r.slope, r.error)}" for name, r in runs.items())
    numbers = f"slopes of log loss over log step: {slopes}"
    wrong = [name for name, r in runs.items() if r.family.admitted != r.converges]
    if not wrong:
        return Finding(CLAIM, HOLDS, numbers)
    reason = f"its conditions are wrong about {', '.join(wrong)}; {numbers}"
    if any(r.family.weakly_admitted != r.converges for r in runs.values()):
        return Finding(CLAIM, DOES_NOT_HOLD, reason)
    condition = "sum eta^2 < infinity is weakened to eta_t -> 0 (mean square, strongly convex loss)"
    return Finding(CLAIM, HOLDS_ONLY_WHEN, f"{condition}: {reason}")


def table(runs: dict[str, Run], steps: int) -> list[list[str]]:
    heads = ["family", "sum eta", "sum eta^2", "slope", "exact", "limit"]
    heads += ["loss / limit", "exact / limit", "largest |z|", f"median steps to {LEVEL:g}"]
    rows = [heads]
    for name, (family, result, exact, slope, error, exact_slope) in runs.items():
        loss, loss_error = result["loss"].values, result["loss_se"].values
        limit = DIM / 2 * family.limit(steps) if family.limit else np.nan
        median = float(result["hitting_time_quantile"].sel(quantile=0.5))
        median_error = float(result["hitting_time_quantile_se"].sel(quantile=0.5))
        rows.append(
            [
                name,
                "infinite" if family.infinite_sum else "finite",
                "finite" if family.finite_square_sum else "infinite",
                with_error(slope, error),
                f"{exact_slope:.4f}",
                f"{family.exponent:g}",
                with_error(loss[-1] / limit, loss_error[-1] / limit) if family.limit else "",
                f"{exact[-1] / limit:.4f}" if family.limit else "",
                f"{np.max(abs(loss - exact) / loss_error):.1f}",
                "never" if np.isnan(median) else with_error(median, median_error),
            ]
        )
    return rows


def study(quick: bool) -> Outcome:
    steps, trajectories = (100_000, 128) if quick else (1_000_000, 512)
    runs = {name: run(family, steps, trajectories) for name, family in FAMILIES.items()}
    return Outcome(draw(runs), table(runs, steps), [judge(runs)])


if __name__ == "__main__":
    main(study)
