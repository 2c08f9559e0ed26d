"""Momentum on ravines: acceleration, overshoot, and what noise leaves of it.

    python scripts/momentum_acceleration.py [--quick] [-o FIGURE]

Heavy ball against plain SGD, in three parts. (a) Without noise, spectra of condition number kappa
whose directions start with equal losses: steps until the loss is 1e-8 of its start, at the rate
that makes the slowest direction fastest, for fixed momenta and for Polyak's; beside the law
log(1e8)/(2 log 1/r) of the spectral radius r, which leaves out the factor t of Polyak's double
roots. (b) Without noise, along a direction of curvature h at the rate a = eta h: the depth of the
overshoot beside its formula, and the steps after which the distance stays within 1e-3 of its
start. (c) On the noisy quadratic (curvatures 1/i, noise covariance H, 100 dimensions) the gain in
steps to a target loss against batch size: at SGD's best rate, kept as effective rate eta/(1 - mu),
and with rate and momentum tuned by the exact recursion; Monte Carlo by the first passages of single
trajectories.

Momentum accelerates (a) if it needs fewer steps than plain descent at every kappa, and only where
sqrt(mu) < (kappa - 1)/(kappa + 1) if this tells where it does. It damps oscillation (b) if it
settles sooner at every rate a > 1, where plain descent oscillates; the condition is the least a
from which it does. It helps under noise (c) if at every batch size tuned momentum gains more than
a tenth, by four standard errors.

Sources: Polyak, USSR Comput. Math. Math. Phys. 4 (1964) 1; Goh, Distill 2017, "Why momentum really
works"; Zhang et al., NeurIPS 2019, arXiv:1907.04164.
"""

from __future__ import annotations

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from critical_batch_size import SMALL, TARGETS, Tuned, passage, problem, steps_to_target, tune
from scipy.optimize import minimize_scalar
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

ACCELERATES = "12. Momentum accelerates along consistent directions"
DAMPS = "12. Momentum damps oscillation"
NOISY = "12. Momentum accelerates where noise dominates too"
MOMENTA = (0.0, 0.5, 0.9, 0.99)
POLYAK = "Polyak's"
PRECISION = 1e-8  # of the starting loss, in (a)
RATES = np.linspace(0.02, 1.98, 50)  # in (b)
SETTLED = 1e-3  # of the starting distance, in (b)
HELD = 0.9  # momentum at the same effective rate, in (c)
GAIN = 1.1
THRESHOLD = 4.0


class Descent(NamedTuple):
    """Steps to the precision without noise, whether exact losses confirm them, and the law's."""

    steps: int
    confirmed: bool
    law: float


class Directions(NamedTuple):
    """Of a momentum, by rate: depth of the overshoot, its formula, and steps to settle."""

    depth: np.ndarray
    formula: np.ndarray
    settled: np.ndarray


class Gain(NamedTuple):
    """Steps of SGD over those of momentum: of the exact loss, and of first passages."""

    exact: float
    value: float
    error: float
    z: float


def radius(momentum: float, rate: float) -> float:
    """Return the spectral radius of the heavy ball along a direction, at the rate a = eta h."""
    trace = 1 + momentum - rate
    discriminant = trace**2 - 4 * momentum
    return np.sqrt(momentum) if discriminant < 0 else (abs(trace) + np.sqrt(discriminant)) / 2


def polyak(condition: float) -> float:
    """Return Polyak's momentum."""
    root = np.sqrt(condition)
    return ((root - 1) / (root + 1)) ** 2


def noise_free(
    curvature: np.ndarray,
    start: np.ndarray | float,
    rate: float,
    momentum: float,
    steps: int,
    level: float,
) -> fs.Study:
    return fs.Study(
        fs.Quadratic(curvature, noise=0.0, start=start),
        fs.SGD(rate, fs.Constant(momentum)),  # a schedule: zero shares the others' kernel
        steps,
        trajectories=1,
        measures=(fs.Overshoot(), fs.HittingTime(level)),
        precision="double",
    )


def descend(condition: float, momentum: float) -> Descent:
    """Run to the precision at the rate that makes the slowest direction fastest."""

    def slowest(rate: float) -> float:
        return max(radius(momentum, rate / condition), radius(momentum, rate))

    bounds = (0, 2 * (1 + momentum))
    rate = minimize_scalar(slowest, bounds=bounds, method="bounded", options={"xatol": 1e-9}).x
    law = np.log(PRECISION) / (2 * np.log(slowest(rate)))
    curvature = np.geomspace(1 / condition, 1, 32)
    level = PRECISION * len(curvature) / 2
    study = noise_free(curvature, curvature**-0.5, rate, momentum, int(3 * law) + 100, level)
    steps = int(simulate(study)["hitting_time"])
    around = [steps - 1, steps]
    exact = fs.exact(study.replace(record=around, measures=fs.Loss(())))["loss"]
    before, after = exact.sel(step=around)
    return Descent(steps, bool(before > level >= after), law)


def cross(momentum: float) -> Directions:
    """Run along directions of all rates at once."""
    study = noise_free(RATES, 1.0, 1.0, momentum, 3000, 0.0)
    result = simulate(study)
    every_step = study.replace(record=np.arange(study.steps + 1), measures=fs.Loss(()))
    outside = abs(fs.exact(every_step)["theta_mean"].values) > SETTLED
    return Directions(
        result["overshoot_depth"].values,
        np.array([fs.theory.noise_free_overshoot(momentum, rate).depth for rate in RATES]),
        study.steps + 1 - np.argmax(outside[::-1], axis=0),
    )


def compare(batch: int, trajectories: int) -> dict[str, Gain]:
    """Return the gains of momentum at SGD's effective rate, and tuned."""
    plain = tune("SGD", SMALL, batch)
    rate, smoothing = plain.rate * (1 - HELD), 1 - HELD
    steps = steps_to_target(problem("heavy ball", SMALL, batch, rate, smoothing), TARGETS[SMALL])
    rivals = {
        "same effective rate": Tuned(steps, rate, smoothing),
        "tuned": tune("heavy ball", SMALL, batch),
    }
    reference = passage("SGD", batch, plain, trajectories)
    studies = {"SGD": reference} | {
        name: passage("heavy ball", batch, tuned, trajectories) for name, tuned in rivals.items()
    }
    members = {name: (s.optimizer, s.steps, s.record) for name, s in studies.items()}
    result = simulate(fs.sweep(reference, {"optimizer, steps, record": members}))
    z = {name: abs(float(result.member(name).z_scores["loss"][0])) for name in studies}
    gains = {}
    for name, tuned in rivals.items():
        times = result.compare("SGD", name, "hitting_time")
        ratio, error = float(times["ratio"]), float(times["ratio_se"])
        gains[name] = Gain(plain.steps / tuned.steps, ratio, error, max(z["SGD"], z[name]))
    return gains


def fit_exponent(conditions: np.ndarray, descents: list[Descent]) -> tuple[float, float]:
    """Fit steps ~ kappa^p over the upper half; return p and the fit's standard error."""
    upper = slice(len(conditions) // 2, None)
    x, y = np.log(conditions[upper]), np.log([d.steps for d in descents[upper]])
    coefficients, covariance = np.polyfit(x, y, 1, cov=True)
    return float(coefficients[0]), float(np.sqrt(covariance[0, 0]))


def judge_acceleration(
    conditions: np.ndarray, descents: dict[float | str, list[Descent]]
) -> Finding:
    gains, predicted = [], []
    for momentum in MOMENTA[1:]:
        for condition, plain, heavy in zip(
            conditions, descents[0.0], descents[momentum], strict=True
        ):
            gains.append(heavy.steps < plain.steps)
            predicted.append(np.sqrt(momentum) < (condition - 1) / (condition + 1))
    plain, heavy = (fit_exponent(conditions, descents[key]) for key in (0.0, POLYAK))
    confirmed = [d.confirmed for row in descents.values() for d in row]
    reason = (
        f"steps grow as kappa^({with_error(*plain)}) without momentum and kappa^("
        f"{with_error(*heavy)}) with Polyak's; fixed momenta are faster at {sum(gains)} of "
        f"{len(gains)} pairs of kappa and mu; exact losses confirm {sum(confirmed)} of "
        f"{len(confirmed)} times to the step"
    )
    faster = plain[0] - heavy[0] > THRESHOLD * np.hypot(plain[1], heavy[1])
    if faster and all(gains):
        return Finding(ACCELERATES, HOLDS, reason)
    if faster and gains == predicted:
        condition = "sqrt(mu) < (kappa - 1)/(kappa + 1), without noise"
        return Finding(ACCELERATES, HOLDS_ONLY_WHEN, f"{condition}: {reason}")
    return Finding(ACCELERATES, DOES_NOT_HOLD, reason)


def judge_damping(directions: dict[float, Directions]) -> Finding:
    oscillating = RATES > 1
    worst = max(float(np.max(abs(d.depth - d.formula))) for d in directions.values())
    sooner, numbers = [], []
    for momentum in MOMENTA[1:]:
        better = (directions[momentum].settled < directions[0.0].settled)[oscillating]
        sooner.append(better)
        edge = f"from a = {RATES[oscillating][better][0]:.2f}" if better.any() else "nowhere"
        numbers.append(f"mu = {momentum:g}: {edge} (1 + sqrt(mu) = {1 + momentum**0.5:.3f})")
    depth = directions[0.9].depth[RATES < 1].max()
    reason = (
        f"it settles sooner than oscillating plain descent at {'; '.join(numbers)}; below a = 1, "
        f"where plain descent does not overshoot, mu = 0.9 does by up to {depth:.3f} of the "
        f"distance; overshoots differ from their formula by at most {worst:.0e}"
    )
    if all(better.all() for better in sooner):
        return Finding(DAMPS, HOLDS, reason)
    upper = [
        np.array_equal(b, RATES[oscillating] > 1 + m**0.5)
        for m, b in zip(MOMENTA[1:], sooner, strict=True)
    ]
    if any(better.any() for better in sooner) and all(upper):
        return Finding(DAMPS, HOLDS_ONLY_WHEN, f"eta h > 1 + sqrt(mu): {reason}")
    return Finding(DAMPS, DOES_NOT_HOLD, reason)


def judge_noise(gains: dict[int, dict[str, Gain]]) -> Finding:
    tuned = {batch: by_name["tuned"] for batch, by_name in gains.items()}
    numbers = "; ".join(
        f"B = {batch}: {with_error(g.value, g.error)} (exact mean loss {g.exact:.3f})"
        for batch, g in tuned.items()
    )
    held = [by_name["same effective rate"] for by_name in gains.values()]
    least, most = min(held, key=lambda g: g.value), max(held, key=lambda g: g.value)
    worst = max(g.z for by_name in gains.values() for g in by_name.values())
    reason = (
        f"gain of tuned momentum in first passages at {numbers}; at the same effective rate, mu = "
        f"{HELD:g}, from {with_error(least.value, least.error)} to "
        f"{with_error(most.value, most.error)}; losses at the exact times: largest |z| {worst:.1f}"
    )
    helps = [g.value - THRESHOLD * g.error > GAIN for g in tuned.values()]
    if all(helps):
        return Finding(NOISY, HOLDS, reason)
    if not helps[-1]:
        return Finding(NOISY, DOES_NOT_HOLD, reason)
    first = len(helps) - helps[::-1].index(False)
    return Finding(
        NOISY, HOLDS_ONLY_WHEN, f"the batch size is {list(tuned)[first]} or more: {reason}"
    )


def draw(
    conditions: np.ndarray,
    descents: dict[float | str, list[Descent]],
    directions: dict[float, Directions],
    gains: dict[int, dict[str, Gain]],
) -> plt.Figure:
    figure, ((steps, depth), (settled, gain)) = plt.subplots(2, 2, figsize=(11, 8))
    for colour, (key, row) in zip(COLOURS, descents.items(), strict=False):
        name = f"$\\mu$ = {key:g}" if isinstance(key, float) else f"{key} $\\mu$"
        steps.plot(conditions, [d.steps for d in row], "o", color=colour, label=name)
        steps.plot(conditions, [d.law for d in row], "--", color=colour)
        if key in directions:
            depth.plot(RATES, directions[key].depth, ".", color=colour, label=name)
            depth.plot(RATES, directions[key].formula, "--", color=colour)
            settled.plot(RATES, directions[key].settled, ".-", color=colour, label=name)
    steps.plot([], [], "k--", label="law of the spectral radius")
    depth.plot([], [], "k--", label="formula")
    steps.set(xscale="log", yscale="log", xlabel="condition number", ylabel="steps")
    steps.set_title(f"steps to {PRECISION:g} of the loss, without noise")
    depth.set(xlabel="rate times curvature", ylabel="overshoot / starting distance")
    depth.set_title("overshoot along a direction, without noise")
    settled.set(yscale="log", xlabel="rate times curvature", ylabel="steps")
    settled.set_title(f"steps to stay within {SETTLED:g} of the distance")
    batches = list(gains)
    for colour, name in zip(COLOURS, gains[batches[0]], strict=False):
        row = [by_name[name] for by_name in gains.values()]
        values, errors = [g.value for g in row], [2 * g.error for g in row]
        gain.errorbar(batches, values, errors, fmt="o", color=colour, label=f"{name}, passages")
        gain.plot(batches, [g.exact for g in row], "--", color=colour, label=f"{name}, exact loss")
    gain.set_xscale("log", base=2)
    gain.set(xlabel="batch size", ylabel="steps of SGD / of momentum (± 2 s.e.)")
    gain.set_title("gain under noise")
    for ax in figure.axes:
        ax.legend()
    return figure


def table(conditions: np.ndarray, descents: dict[float | str, list[Descent]]) -> list[list[str]]:
    rows = [["kappa", *(f"mu = {key}: steps (law)" for key in descents)]]
    for k, condition in enumerate(conditions):
        cells = [f"{row[k].steps} ({row[k].law:.0f})" for row in descents.values()]
        rows.append([f"{condition:.0f}", *cells])
    return rows


def study(quick: bool) -> Outcome:
    conditions = np.geomspace(10, 1e4, 7)
    descents: dict[float | str, list[Descent]] = {
        momentum: [descend(condition, momentum) for condition in conditions] for momentum in MOMENTA
    }
    descents[POLYAK] = [descend(condition, polyak(condition)) for condition in conditions]
    directions = {momentum: cross(momentum) for momentum in MOMENTA}
    batches, trajectories = ((1, 64, 4096), 512) if quick else (2 ** np.arange(0, 13, 2), 8192)
    gains = {int(batch): compare(int(batch), trajectories) for batch in batches}
    findings = [
        judge_acceleration(conditions, descents),
        judge_damping(directions),
        judge_noise(gains),
    ]
    return Outcome(
        draw(conditions, descents, directions, gains), table(conditions, descents), findings
    )


if __name__ == "__main__":
    main(study)
