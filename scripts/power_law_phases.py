"""Compute-optimal frontiers of power-law random features, in three phases.

    python scripts/power_law_phases.py [--quick] [-o FIGURE]

One-pass SGD at a constant rate on linear random features of Gaussian inputs, whose spectrum is
j^(-2 alpha) and whose target is j^(-beta). At so many flops (features times updates) there is a
best number of features; the best loss and that number follow power laws of the flops. Prints the
fitted exponents beside those of Paquette et al. 2024 (arXiv:2405.15074, Table 2), and draws the
exact loss of each number of features, Monte Carlo points with standard errors, and the frontier.
"""

from __future__ import annotations

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from study import COLOURS, Outcome, main, simulate, with_error
from tqdm import tqdm

import fastsched as fs

PHASES = ((1.0, 0.3), (1.2, 0.8), (0.7, 0.9))
TRAJECTORIES = 256
RATE = 0.3  # times the inverse of the largest possible trace


class Curve(NamedTuple):
    """The loss of a number of features over flops; Monte Carlo with errors at fewer flops."""

    features: int
    flops: np.ndarray
    loss: np.ndarray
    sampled_flops: np.ndarray
    sampled: np.ndarray
    error: np.ndarray
    largest_z: float


class Fit(NamedTuple):
    """A power law: its exponent, the standard error of the fit, and its values."""

    exponent: float
    error: float
    values: np.ndarray


def run_curve(
    exponents: tuple[float, float],
    inputs: int,
    features: int,
    flops: float,
    sampled_flops: float,
    draws: int,
) -> Curve:
    """Return the exact loss, averaged over draws of W, and Monte Carlo of the first draw."""
    losses = []
    for seed in range(draws):
        landscape = fs.RandomFeatures.power_law(inputs, features, *exponents, seed=seed)
        optimizer = fs.SGD(RATE / float(np.sum(landscape.input_spectrum)))
        steps = int(flops / features)
        study = fs.Study(landscape, optimizer, steps, 1, record=200, measures=fs.Loss(()))
        exact = fs.exact(study)
        losses.append(exact["loss"].values[1:])
        if seed == 0:
            sampled = simulate(
                study.replace(
                    steps=int(sampled_flops / features), trajectories=TRAJECTORIES, record=12
                )
            )
    step, later = exact["step"].values[1:], sampled["step"].values[1:]
    return Curve(
        features,
        step * float(features),
        np.mean(losses, axis=0),
        later * float(features),
        sampled["loss"].values[1:],
        sampled["loss_se"].values[1:],
        float(abs(sampled.z_scores["loss"]).max()),
    )


def frontier(curves: list[Curve]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return flops, least loss and best number of features, where neither end of them is best.

    Between the sizes the logarithm of the loss is a parabola of that of the size.
    """
    low = max(curve.flops[0] for curve in curves)
    high = min(curve.flops[-1] for curve in curves)
    grid = np.geomspace(low, high, 400)
    losses = np.stack([np.interp(np.log(grid), np.log(c.flops), np.log(c.loss)) for c in curves])
    sizes = np.log([c.features for c in curves])
    best = np.argmin(losses, axis=0)
    inner = (best > 0) & (best < len(curves) - 1)
    flops, loss, size = [], [], []
    for k in np.flatnonzero(inner):
        near = slice(best[k] - 1, best[k] + 2)
        a, b, c = np.polyfit(sizes[near], losses[near, k], 2)
        flops.append(grid[k])
        size.append(np.exp(-b / (2 * a)))
        loss.append(np.exp(c - b * b / (4 * a)))
    return np.array(flops), np.array(loss), np.array(size)


def fit(x: np.ndarray, y: np.ndarray) -> Fit:
    """Fit a power law over the upper part of the flops, where it is closest to its limit."""
    upper = np.log(x) > np.log(x[0]) + 0.4 * (np.log(x[-1]) - np.log(x[0]))
    coefficients, covariance = np.polyfit(np.log(x[upper]), np.log(y[upper]), 1, cov=True)
    values = np.exp(np.polyval(coefficients, np.log(x)))
    return Fit(float(coefficients[0]), float(np.sqrt(covariance[0, 0])), values)


def draw(
    ax: plt.Axes,
    curves: list[Curve],
    flops: np.ndarray,
    loss_fit: Fit,
    theory: fs.theory.ComputeOptimal,
) -> None:
    """Draw a phase."""
    for k, curve in enumerate(curves):
        shade = str(0.75 - 0.6 * k / len(curves))
        name = (
            "exact, averaged over W; from 10 (light) to most (dark) features"
            if k == len(curves) // 2
            else None
        )
        ax.plot(curve.flops, curve.loss, color=shade, linewidth=0.9, label=name)
        ax.errorbar(
            curve.sampled_flops,
            curve.sampled,
            2 * curve.error,
            fmt=".",
            color=COLOURS[0],
            markersize=3,
            elinewidth=0.8,
            label=f"{TRAJECTORIES} trajectories of one W, ± 2 standard errors" if k == 0 else None,
        )
    ax.plot(flops, loss_fit.values, color=COLOURS[1], linewidth=2.5, label="fitted frontier")
    middle = len(flops) // 2
    ax.plot(
        flops,
        1.25 * loss_fit.values[middle] * (flops / flops[middle]) ** theory.loss,
        color="black",
        linestyle="--",
        label="slope of the theory",
    )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(bottom=0.3 * loss_fit.values[-1])
    ax.set_xlabel("flops (features x updates)")
    ax.set_title(f"phase {theory.phase}: fitted {loss_fit.exponent:.3f}, theory {theory.loss:.3f}")


def study(quick: bool) -> Outcome:
    sizes = np.unique(np.geomspace(10, 320 if quick else 800, 12).astype(int))
    flops, sampled, draws = (1e7, 3e5, 2) if quick else (1e8, 3e6, 4)
    inputs = 5 * int(sizes[-1])
    rows = [["alpha, beta", "phase", "loss exponent", "theory", "size exponent", "theory "]]
    rows[0].append("largest |z|")
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.6))
    progress = tqdm(total=len(PHASES) * len(sizes), unit="size", disable=None, leave=False)
    for ax, (alpha, beta) in zip(axes, PHASES, strict=True):
        curves = []
        for features in sizes.tolist():
            curves.append(run_curve((alpha, beta), inputs, features, flops, sampled, draws))
            progress.update()
        theory = fs.theory.compute_optimal_exponents(alpha, beta)
        x, loss, size = frontier(curves)
        loss_fit, size_fit = fit(x, loss), fit(x, size)
        rows.append(
            [
                f"{alpha:g}, {beta:g}",
                theory.phase,
                with_error(loss_fit.exponent, loss_fit.error),
                f"{theory.loss:.3f}",
                with_error(size_fit.exponent, size_fit.error),
                f"{theory.size:.3f}",
                f"{max(curve.largest_z for curve in curves):.1f}",
            ]
        )
        draw(ax, curves, x, loss_fit, theory)
    progress.close()
    axes[0].set_ylabel("expected risk without label noise")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    figure.suptitle("Power-law random features: one-pass SGD, and its compute-optimal frontier")
    return Outcome(figure, rows, [])


if __name__ == "__main__":
    main(study)
