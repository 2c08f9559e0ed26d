"""The critical batch size, and rate decay against batch growth.

    python scripts/critical_batch_size.py [--quick] [-o FIGURE]

The noisy quadratic of Zhang et al. (curvatures 1/i, noise covariance H, standard normal start):
steps until the expected loss is at a target C against batch size B, for SGD, the heavy ball and the
exponential moving average of SGD's iterates, each at its best constant rate (and momentum, or decay
of the average), by the exact recursion, beside the information bound d/(2 C B). In 10,000
dimensions, whose curvatures are rounded down to a grid of 100; and in 100 dimensions, where Monte
Carlo measures the loss at the exact time, and the first passages of single trajectories, which
come before it since their loss fluctuates.

Then four phases at the rates eta_0 2^-j and the batch size 8, for K steps each, against the rate
eta_0 at the batch sizes 8 2^j for K 2^-j steps: as many samples in half the updates. The two are
interchangeable at an eta_0 if the exact ratio of their final losses is within 1 % of one, and Monte
Carlo within four standard errors of the exact ratio. Claim 16 holds if they are at every eta_0; if
only at some, the condition is the eta_0 at which the exact ratio leaves that band.

Sources: Zhang et al., NeurIPS 2019, arXiv:1907.04164; Smith et al., ICLR 2018, arXiv:1711.00489;
McCandlish et al. 2018, arXiv:1812.06162.
"""

from __future__ import annotations

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import brentq, minimize_scalar
from study import (
    COLOURS,
    DOES_NOT_HOLD,
    HOLDS,
    HOLDS_ONLY_WHEN,
    Finding,
    Outcome,
    final_ratio,
    main,
    simulate,
    with_error,
)

import fastsched as fs

CLAIM = "16. Learning-rate decay and batch-size growth are interchangeable"
LARGE, SMALL = 10_000, 100
TARGETS = {LARGE: 0.01, SMALL: 0.05}
MEASURES = (fs.Loss(()), fs.HittingTime(TARGETS[SMALL]))
SMOOTHINGS = {  # 1 - momentum of the heavy ball, 1 - decay of the average
    "SGD": (1.0,),
    "heavy ball": (0.5, 0.2, 0.1, 0.05, 0.02),
    "average": tuple(4.0**-k for k in range(1, 9)),
}
BATCH, PHASES = 8, 4
DECAY, GROWTH = "rate decay", "batch growth"
RATES = (0.05, 0.2, 0.8)
TOLERANCE = 0.01
THRESHOLD = 4.0


class Tuned(NamedTuple):
    """The fewest steps to the target, and the rate and smoothing that take them."""

    steps: float
    rate: float
    smoothing: float


class Passage(NamedTuple):
    """Monte Carlo of a tuned method: z-score of the loss at the exact time; mean first passage."""

    z: float
    time: float
    error: float


def landscape(dim: int) -> fs.Quadratic:
    """Return the model. Of w equal curvatures it holds one, with w times the second moments."""
    curvature, count = 1 / np.arange(1, dim + 1), np.ones(dim)
    if dim == LARGE:
        grid = np.geomspace(1 / dim, 1, 100)
        bins = np.bincount(np.searchsorted(grid, curvature * (1 + 1e-12), side="right") - 1)
        curvature, count = grid[bins > 0], bins[bins > 0]
    return fs.Quadratic(curvature, np.sqrt(count * curvature), fs.Normal(0, np.sqrt(count)))


def problem(method: str, dim: int, batch: int, rate: float, smoothing: float) -> fs.Study:
    """Return the study of a method, far enough for its target."""
    bound = dim / (2 * TARGETS[dim] * batch)
    return fs.Study(
        landscape(dim),
        fs.SGD(rate, momentum=1 - smoothing if method == "heavy ball" else 0.0),
        int(20 * bound + 2 * dim),
        1,
        batch,
        record=300,
        measures=fs.Average("ema", decay=1 - smoothing) if method == "average" else fs.Loss(()),
    )


def steps_to_target(study: fs.Study, target: float) -> float:
    """Return the time after which the exact expected loss stays below the target.

    If it does not get there, a number of steps above the study's that grows with the loss.
    """
    exact = fs.exact(study).data
    loss = exact["average_loss" if "average_loss" in exact else "loss"].values
    step = study.record_steps
    above = np.flatnonzero(loss >= target)[-1]
    if above == len(loss) - 1:
        return study.steps * float(min(loss[-1] / target, 1e9))
    low, high = np.log(loss[above : above + 2])
    fraction = (low - np.log(target)) / (low - high)
    return step[above] + fraction * (step[above + 1] - step[above])


def tune(method: str, dim: int, batch: int) -> Tuned:
    """Return the rate and smoothing with which the target takes fewest steps."""

    def best_rate(smoothing: float) -> Tuned:
        edge = 2 * (2 - smoothing) if method == "heavy ball" else 2.0

        def log_steps(log_rate: float) -> float:
            study = problem(method, dim, batch, np.exp(log_rate), smoothing)
            return np.log(steps_to_target(study, TARGETS[dim]))

        bounds = np.log([1e-3 * smoothing, 0.999 * edge])
        found = minimize_scalar(log_steps, bounds=bounds, method="bounded", options={"xatol": 1e-3})
        return Tuned(np.exp(found.fun), np.exp(found.x), smoothing)

    return min(map(best_rate, SMOOTHINGS[method]))


def passage(method: str, batch: int, tuned: Tuned, trajectories: int) -> fs.Study:
    """Return the study of a tuned method's first passages on the small model."""
    end = round(tuned.steps)
    return problem(method, SMALL, batch, tuned.rate, tuned.smoothing).replace(
        steps=2 * end,
        trajectories=trajectories,
        record=[end],
        measures=MEASURES,
    )


def sample(study: fs.Study) -> Passage:
    result = simulate(study)
    z = float(result.z_scores["loss"][0])
    return Passage(z, float(result["hitting_time"]), float(result["hitting_time_se"]))


def pair(rate: float, length: int, trajectories: int) -> fs.Sweep:
    """Return the sweep over rate decay and batch growth."""
    decay = fs.StepDecay(rate, length, 0.5)
    ends = np.cumsum([length >> j for j in range(PHASES)])
    batches = fs.Piecewise(ends[:-1], [BATCH << j for j in range(PHASES)])
    study = fs.Study(
        landscape(SMALL),
        fs.SGD(decay),
        PHASES * length,
        trajectories,
        BATCH,
        measures=MEASURES,
    )
    variants = {
        DECAY: (decay, BATCH, study.steps, np.linspace(0, study.steps, 49, dtype=int)),
        GROWTH: (rate, batches, int(ends[-1]), np.linspace(0, ends[-1], 49, dtype=int)),
    }
    return fs.sweep(study, {"optimizer.lr, batch_size, steps, record": variants})


def exact_ratio(pair: fs.Sweep) -> float:
    """Return the exact final loss of batch growth over that of rate decay."""
    decay, growth = (float(fs.exact(study)["loss"][-1]) for study in pair.members)
    return growth / decay


def interchangeable(pair: fs.SweepResult) -> bool:
    (ratio, error), exact = final_ratio(pair, GROWTH, DECAY), exact_ratio(pair.sweep)
    return abs(exact - 1) < TOLERANCE and abs(ratio - exact) < THRESHOLD * error


def largest_rate(length: int) -> float:
    """Return the eta_0 at which the exact losses differ by the tolerance."""

    def excess(log_rate: float) -> float:
        return abs(exact_ratio(pair(np.exp(log_rate), length, 1)) - 1) - TOLERANCE

    return float(np.exp(brentq(excess, *np.log([RATES[0], RATES[-1]]), xtol=1e-3)))


def judge(pairs: dict[float, fs.SweepResult], length: int) -> Finding:
    numbers = "; ".join(
        f"eta_0 = {rate:g}: {with_error(*final_ratio(pair, GROWTH, DECAY))} "
        f"(exact {exact_ratio(pair.sweep):.4f})"
        for rate, pair in pairs.items()
    )
    updates = [study.steps for study in pairs[RATES[0]].sweep.members]
    reason = f"final loss of growth / decay, in {updates[1]} / {updates[0]} updates: {numbers}"
    verdicts = list(map(interchangeable, pairs.values()))
    if all(verdicts):
        return Finding(CLAIM, HOLDS, reason)
    if verdicts[0]:
        condition = f"the rate is small against 1/h: eta_0 h_max < {largest_rate(length):.2f} here"
        return Finding(CLAIM, HOLDS_ONLY_WHEN, f"{condition}; {reason}")
    return Finding(CLAIM, DOES_NOT_HOLD, reason)


def critical_batch(by_batch: dict[int, Tuned]) -> float:
    """Return the batch size with which SGD takes twice as many steps as with the largest."""
    log_steps = np.log([tuned.steps for tuned in by_batch.values()])[::-1]
    log_batch = np.log(list(by_batch))[::-1]
    return float(np.exp(np.interp(log_steps[0] + np.log(2), log_steps, log_batch)))


def draw_steps(ax: plt.Axes, dim: int, best: dict[str, dict[int, Tuned]]) -> None:
    for colour, (method, by_batch) in zip(COLOURS, best.items(), strict=False):
        steps = [tuned.steps for tuned in by_batch.values()]
        ax.plot(list(by_batch), steps, "--", color=colour, label=f"{method}, exact")
    batches = np.array(list(by_batch))
    least = min(tuned.steps for tuned in best["heavy ball"].values())
    bound = dim / (2 * TARGETS[dim] * batches)
    ax.plot(batches, bound, "k", linewidth=1, label="information bound d / (2 C B)")
    ax.axvline(critical_batch(best["SGD"]), color="0.5", linestyle=":", label="critical batch size")
    ax.set_xscale("log", base=2)
    ax.set(yscale="log", xlabel="batch size", ylabel="steps to the target", ylim=(least / 3, None))
    ax.set_title(f"d = {dim:,}, target C = {TARGETS[dim]:g}")


def draw(
    large: dict[str, dict[int, Tuned]],
    small: dict[str, dict[int, Tuned]],
    passages: dict[tuple[str, int], Passage],
    pairs: dict[float, fs.SweepResult],
) -> plt.Figure:
    figure, axes = plt.subplots(1, 3, figsize=(14, 4.8))
    draw_steps(axes[0], LARGE, large)
    draw_steps(axes[1], SMALL, small)
    for colour, marker, method in zip(COLOURS, "os", SMOOTHINGS, strict=False):
        points = [(b, p.time, 2 * p.error) for (m, b), p in passages.items() if m == method]
        label = f"{method}, first passage (mean ± 2 s.e.)"
        axes[1].errorbar(*zip(*points, strict=True), fmt=marker, color=colour, label=label)
    for colour, (rate, pair) in zip(COLOURS, pairs.items(), strict=False):
        for marker, kind in (("o", DECAY), ("x", GROWTH)):
            result = pair.member(kind)
            seen = np.append(0, np.cumsum(result.study.batch_sizes()))[result["step"]]
            loss, error = result["loss"], 2 * result["loss_se"]
            label = f"{kind}, $\\eta_0$ = {rate:g}"
            axes[2].errorbar(seen, loss, error, fmt=marker, ms=4, color=colour, label=label)
            axes[2].plot(seen, result.exact["loss"], "--", color=colour, linewidth=1)
    axes[2].set(yscale="log", xlabel="samples seen", ylabel="loss (mean ± 2 standard errors)")
    axes[2].set_title("rate decay, batch growth (dashed: exact)")
    axes[2].legend()
    handles, labels = axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def table(
    large: dict[str, dict[int, Tuned]],
    small: dict[str, dict[int, Tuned]],
    passages: dict[tuple[str, int], Passage],
) -> list[list[str]]:
    methods = [name for method in SMOOTHINGS for name in (f"{method}: steps", "rate")]
    rows = [["d, B", "d/(2CB)", *methods, "passages: SGD, heavy ball", "z of their loss"]]
    for dim, best in ((LARGE, large), (SMALL, small)):
        for batch in best["SGD"]:
            tuned = [best[method][batch] for method in SMOOTHINGS]
            sampled = [p for (_, b), p in passages.items() if (dim, b) == (SMALL, batch)]
            rows.append(
                [
                    f"{dim}, {batch}",
                    f"{dim / (2 * TARGETS[dim] * batch):.4g}",
                    *(cell for t in tuned for cell in (f"{t.steps:.0f}", f"{t.rate:.3g}")),
                    ", ".join(with_error(p.time, p.error) for p in sampled),
                    ", ".join(f"{p.z:.1f}" for p in sampled),
                ]
            )
    return rows


def study(quick: bool) -> Outcome:
    exponents = range(4, 20, 5) if quick else range(2, 21, 2)
    large = {m: {1 << k: tune(m, LARGE, 1 << k) for k in exponents} for m in SMOOTHINGS}
    exponents = range(0, 13, 6) if quick else range(0, 13, 2)
    small = {m: {1 << k: tune(m, SMALL, 1 << k) for k in exponents} for m in SMOOTHINGS}
    trajectories, length, many = (512, 400, 2048) if quick else (4096, 1000, 8192)
    passages = {
        (method, batch): sample(passage(method, batch, tuned, trajectories))
        for method in ("SGD", "heavy ball")
        for batch, tuned in small[method].items()
    }
    pairs = {rate: simulate(pair(rate, length, many)) for rate in RATES}
    figure = draw(large, small, passages, pairs)
    return Outcome(figure, table(large, small, passages), [judge(pairs, length)])


if __name__ == "__main__":
    main(study)
