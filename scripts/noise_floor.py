"""The noise floor of a constant rate, over rates and batch sizes.

    python scripts/noise_floor.py [--quick] [-o FIGURE]

SGD at constant rates on a noisy quadratic of 20 curvatures between 0.1 and 1, with gradient noise
of covariance H / B, from far away. The loss descends; then it bounces at a floor. Claim 1 holds if,
for every rate and batch, the loss comes down to twice the floor in half of the steps, does not
change in the other half, rises from each rate to the next and falls from each batch to the next,
all told by 4 standard errors. Beside it stand the exact floor, 1/2 sum eta c / (B (2 - eta h)), and
its first order, eta tr(C) / (4 B); that the first is the second is a finding of its own, to be
true where they differ by less than a tenth.

Every pair of rate and batch has a seed of its own: with common random numbers the floors of two
batches would be the same noise, scaled.

Sources: Zhang et al. 2019 (arXiv:1907.04164) of the model; Jastrzebski et al. 2017
(arXiv:1711.04623) of the first order.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import ArrayLike, NDArray
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

CURVATURE = np.geomspace(1, 0.1, 20)
LANDSCAPE = fs.Quadratic(CURVATURE, noise="hessian", start=10.0)
RATES = (0.1, 0.2, 0.4, 0.8, 1.6)
BATCHES = (1, 4, 16, 64)
SHOWN = BATCHES.index(16)
STEPS = 2000
HALF = STEPS // 2
RECORD = np.unique(np.append(np.geomspace(1, STEPS, 80).astype(int), [0, HALF]))

THRESHOLD = 4.0  # standard errors
TOLERANCE = 0.1  # relative, of the first order


class Floors(NamedTuple):
    """What was measured, each of shape (rates, batches); the floor is the loss at the end.

    Relative to it are the spread between trajectories and the change from the middle to the end;
    the descent ends at the first recorded step with a loss of at most twice the floor.
    """

    value: NDArray[np.float64]
    error: NDArray[np.float64]
    spread: NDArray[np.float64]
    change: NDArray[np.float64]
    change_error: NDArray[np.float64]
    descent: NDArray[np.int64]
    exact: NDArray[np.float64]
    first_order: NDArray[np.float64]

    @property
    def largest_z(self) -> float:
        return float(np.max(np.abs((self.value - self.exact) / self.error)))


def run_all(trajectories: int) -> fs.SweepResult:
    pairs = itertools.product(RATES, BATCHES)
    settings = [(rate, batch, seed) for seed, (rate, batch) in enumerate(pairs)]
    study = fs.Study(
        LANDSCAPE, fs.SGD(1.0), STEPS, trajectories, record=RECORD, measures=fs.Loss(())
    )
    return simulate(fs.sweep(study, {"optimizer.lr, batch_size, seed": settings}))


def measure(result: fs.SweepResult) -> Floors:
    def by_setting(values: ArrayLike) -> NDArray:
        return np.asarray(values).reshape(len(RATES), len(BATCHES))

    def at(step: int, name: str) -> NDArray[np.float64]:
        return by_setting(result[name].sel(step=step))

    floor, error = at(STEPS, "loss"), at(STEPS, "loss_se")
    variance = LANDSCAPE.noise_std**2
    descended = result["loss"] <= 2 * result["loss"].sel(step=STEPS)
    members = [(member.optimizer, member.batch_size) for member in result.sweep.members]
    exact = [fs.theory.noise_floor(o, CURVATURE, variance, batch_size=b) for o, b in members]
    first = [fs.theory.small_rate_noise_floor(o.lr, variance, batch_size=b) for o, b in members]
    return Floors(
        floor,
        error,
        at(STEPS, "loss_std") / floor,
        1 - at(HALF, "loss") / floor,
        np.hypot(at(HALF, "loss_se"), error) / floor,
        by_setting(RECORD[descended.argmax("step").values]),
        by_setting(exact),
        by_setting(first),
    )


def pooled(values: NDArray[np.float64], errors: NDArray[np.float64]) -> tuple[NDArray, NDArray]:
    """Return means over the last axis, weighted by precision, and their errors."""
    weights = errors**-2.0
    total = weights.sum(axis=-1)
    return (weights * values).sum(axis=-1) / total, total**-0.5


def gaps(floors: Floors, axis: int) -> NDArray[np.float64]:
    """Return the differences between neighbours along an axis, in standard errors."""
    square = floors.error**2
    ahead = np.take(square, range(1, square.shape[axis]), axis)
    behind = np.take(square, range(square.shape[axis] - 1), axis)
    return np.diff(floors.value, axis=axis) / np.sqrt(ahead + behind)


def judge(floors: Floors) -> list[Finding]:
    by_rate, by_batch = gaps(floors, 0).min(), -gaps(floors, 1).max()
    drift = float(np.max(np.abs(floors.change / floors.change_error)))
    change = pooled(floors.change.ravel(), floors.change_error.ravel())
    descends = floors.descent.max() <= HALF
    holds = descends and drift <= THRESHOLD and min(by_rate, by_batch) > THRESHOLD
    error = floors.error / floors.first_order
    excess, excess_error = pooled(floors.value / floors.first_order - 1, error)
    close = excess <= TOLERANCE
    most = close.argmin() - 1 if not close.all() else len(RATES) - 1
    numbers = "; ".join(
        f"{with_error(100 * e, 100 * s)} % at rate {rate}"
        for rate, e, s in zip(RATES, excess, excess_error, strict=True)
    )
    condition = f"rate x largest curvature is at most {RATES[most] * CURVATURE.max():g}: "
    return [
        Finding(
            "1. A constant rate descends fast, then bounces at a noise floor that does not "
            "shrink; the floor grows with the rate and falls with the batch.",
            HOLDS if holds else DOES_NOT_HOLD,
            f"twice the floor is reached by step {floors.descent.min()} to {floors.descent.max()}; "
            f"from step {HALF} to {STEPS} the loss changes by "
            f"{with_error(100 * change[0], 100 * change[1])} % of the floor (largest of "
            f"{floors.value.size} |z| = {drift:.1f}), while trajectories spread by "
            f"{100 * floors.spread.min():.0f} to {100 * floors.spread.max():.0f} %; neighbouring "
            f"rates and batches differ by at least {by_rate:.0f} and {by_batch:.0f} standard "
            f"errors; floors against the exact ones: largest |z| = {floors.largest_z:.1f}",
        ),
        Finding(
            f"1. The floor is eta tr(C) / (4 B), to {100 * TOLERANCE:.0f} %.",
            HOLDS if close.all() else HOLDS_ONLY_WHEN if close[0] else DOES_NOT_HOLD,
            (condition if close[0] and not close.all() else "")
            + f"the floor is higher by {numbers}",
        ),
    ]


def table(floors: Floors) -> list[list[str]]:
    rows = [["rate", "batch", "twice the floor at", "floor", "exact", "z", "first order"]]
    for i, rate in enumerate(RATES):
        for j, batch in enumerate(BATCHES):
            value, error, exact = floors.value[i, j], floors.error[i, j], floors.exact[i, j]
            rows.append(
                [
                    f"{rate:g}",
                    str(batch),
                    f"step {floors.descent[i, j]}",
                    with_error(value, error),
                    f"{exact:.5g}",
                    f"{(value - exact) / error:.1f}",
                    f"{floors.first_order[i, j]:.5g}",
                ]
            )
    return rows


def draw_descent(ax: plt.Axes, result: fs.SweepResult) -> None:
    """Draw the loss at one batch size, and single trajectories of two rates."""
    shown = {result.sweep.dims[0]: slice(SHOWN, None, len(BATCHES))}
    data, exact = result.data.isel(shown), result.exact["loss"].isel(shown)
    for k, (colour, rate) in enumerate(zip(COLOURS, RATES, strict=False)):
        loss, error = data["loss"][k], 2 * data["loss_se"][k]
        ax.plot(RECORD, loss, color=colour, label=f"rate {rate}")
        ax.fill_between(RECORD, loss - error, loss + error, color=colour, alpha=0.3, linewidth=0)
        ax.plot(RECORD, exact[k], color="black", linestyle="--", linewidth=0.8)
    for k in (0, len(RATES) - 1):
        study = result.sweep.members[k * len(BATCHES) + SHOWN]
        study = study.replace(trajectories=1, record=np.arange(1, STEPS, 2))
        one = simulate(study)["loss"]
        ax.plot(one["step"], one, color=COLOURS[k], linewidth=0.5, alpha=0.6, zorder=1)
    ax.set(xscale="log", yscale="log", xlabel="step", ylabel="loss", xlim=(1, STEPS))
    ax.set_title(f"batch {BATCHES[SHOWN]}: means and two trajectories (thin)")
    ax.plot([], [], color="black", linestyle="--", linewidth=0.8, label="exact")
    ax.legend(loc="lower left")


def draw_floors(axes: tuple[plt.Axes, plt.Axes], floors: Floors) -> None:
    """Draw the floors over the rate, and over their first order."""
    ax, ratio = axes
    rates = np.geomspace(RATES[0] / 1.2, RATES[-1] * 1.08, 100)
    exact = np.array([fs.theory.noise_floor(fs.SGD(r), CURVATURE, CURVATURE) for r in rates])
    first_order = rates * CURVATURE.sum() / 4
    for j, (colour, batch) in enumerate(zip(COLOURS, BATCHES, strict=False)):
        style = {"color": colour, "fmt": "o", "markersize": 4, "label": f"batch {batch}"}
        ax.errorbar(RATES, floors.value[:, j], 2 * floors.error[:, j], **style)
        ax.plot(rates, exact / batch, color="black", linestyle="--", linewidth=0.9)
        ax.plot(rates, first_order / batch, color="0.5", linestyle=":", linewidth=0.9)
        shifted = np.array(RATES) * (1 + 0.015 * (j - 1.5))
        scale = floors.first_order[:, j]
        ratio.errorbar(shifted, floors.value[:, j] / scale, 2 * floors.error[:, j] / scale, **style)
    ax.plot([], [], color="black", linestyle="--", label="exact")
    ax.plot([], [], color="0.5", linestyle=":", label="first order")
    ratio.plot(rates, exact / first_order, color="black", linestyle="--", label="exact")
    ratio.axhline(1, color="0.5", linestyle=":", label="first order")
    ax.set(xscale="log", yscale="log", xlabel="rate", ylabel=f"loss at step {STEPS}")
    ax.set_title("floor by rate and batch")
    ratio.set(xscale="log", xlabel="rate", ylabel="floor / (eta tr(C) / 4B)")
    ratio.set_title("in units of the first order")
    for each in axes:
        each.set_xticks(RATES, [f"{rate:g}" for rate in RATES])
        each.minorticks_off()
        each.legend(loc="upper left", ncols=2)
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom, 8 * top)


def study(quick: bool) -> Outcome:
    result = run_all(1000 if quick else 20_000)
    floors = measure(result)
    figure, axes = plt.subplots(1, 3, figsize=(13.5, 4.4))
    draw_descent(axes[0], result)
    draw_floors(tuple(axes[1:]), floors)
    figure.suptitle(
        "SGD at constant rates on a noisy quadratic; bars and bands are ± 2 standard errors"
    )
    return Outcome(figure, table(floors), judge(floors))


if __name__ == "__main__":
    main(study)
