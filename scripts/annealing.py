"""Choosing a learning rate as simulating a physical system: temperature, annealing, Kramers.

    python scripts/annealing.py [--quick] [-o FIGURE]

Escapes from a double well at constant rates, at temperatures D = eta sigma^2 / 2: the same D at
three rates decides whether D alone matters, and the rates of escape are held against Kramers'
law and the exact chain. Cooling: constant, exponential, cosine and logarithmic schedules of equal
budget, each at its own best initial rate, in three wells (with their exact law) and a random
field, by the fraction that ends in the deepest minimum; the best rate is chosen with one seed and
judged with another. Stiffness: noise-free descent on a double well with a steep quadratic across
it, against the exact gradient flow at a fixed time. Kramers' law, and temperature alone, count as
right within 10 %; differences count from 4 standard errors on, those between ways of cooling by
paired trajectories.

Sources: Kramers, Physica 7 (1940) 284; Kirkpatrick, Gelatt & Vecchi, Science 220 (1983) 671;
Hajek, Math. Oper. Res. 13 (1988) 311, of logarithmic cooling; Hairer & Wanner, Solving Ordinary
Differential Equations II, ch. IV, of stiffness.
"""

from __future__ import annotations

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
from warm_restarts_escape import DEEPEST, FIELD, WELLS, exact_law

import fastsched as fs

THRESHOLD = 4.0  # standard errors
CLOSE = 0.1  # of a ratio to 1
BARRIER = 0.25
INVERSE_TEMPERATURES = np.array([1.0, 2.0, 3.0, 4.0, 6.0, 8.0]) / BARRIER
RATES = (0.02, 0.1, 0.4)
ACROSS = 20.0  # curvature of the stiff direction
START, TIME = 0.1, 2.0  # of the gradient flow

Array = np.ndarray


class Escapes(NamedTuple):
    """Escapes per unit of time, 1/eta updates, over the temperatures; shape (3, temperatures)."""

    measured: Array
    error: Array
    exact: Array


def kramers() -> Array:
    return np.array(
        [1 / fs.theory.kramers_time(2, -1, BARRIER, 1 / b) for b in INVERSE_TEMPERATURES]
    )


def escape_rates(steps: int, n: int) -> Escapes:
    """Measure escapes from the minimum at -1 to that at 1; events over exposure."""
    settings = [(r, float(np.sqrt(2 / (b * r)))) for r in RATES for b in INVERSE_TEMPERATURES]
    study = fs.Study(
        fs.DoubleWell(),
        fs.SGD(RATES[0]),
        steps,
        n,
        record=2,
        measures=(fs.Loss(()), fs.Escape(radius=2.0, center=-1.0)),
    )
    run = simulate(fs.sweep(study, {"optimizer.lr, landscape.noise": settings}))
    chains = (fs.theory.double_well_chain(*setting, level=1.0) for setting in settings)
    survivals = (chain.survival(np.arange(steps + 1), -1.0) for chain in chains)
    exact = [(1 - s[-1]) / s[:-1].sum() for s in survivals]
    found = np.array([run["escape_rate"], run["escape_rate_se"], exact])
    return Escapes(*found.reshape(3, len(RATES), -1) / np.reshape(RATES, (-1, 1)))


def judge_temperature(escapes: Escapes) -> Finding:
    """Compare the largest rates with the smallest at each temperature."""
    ratio = escapes.measured[1:] / escapes.measured[0]
    relative = escapes.error / escapes.measured
    error = ratio * np.hypot(relative[1:], relative[0])
    outside = abs(ratio - 1) - CLOSE > THRESHOLD * error
    agree = ~outside.any(axis=1)
    verdict = HOLDS if agree.all() else HOLDS_ONLY_WHEN if agree.any() else DOES_NOT_HOLD
    largest = max((r for r, ok in zip(RATES[1:], agree, strict=True) if ok), default=0.0)
    worst = abs(ratio - 1).argmax(axis=1)
    return Finding(
        "Noise is temperature: the rate and the noise matter only through D = eta sigma^2 / 2",
        verdict,
        f"the rate is small (up to {largest:g} here). " * (verdict == HOLDS_ONLY_WHEN)
        + f"Escapes per unit of time at one D, as a multiple of those at rate {RATES[0]:g}: "
        + ", ".join(
            f"{with_error(ratio[k, w], error[k, w])} at rate {RATES[k + 1]:g}"
            for k, w in enumerate(worst)
        )
        + " where they differ most",
    )


def judge_kramers(escapes: Escapes) -> Finding:
    ratio, error = escapes.measured / kramers(), escapes.error / kramers()
    close = abs(ratio - 1) < CLOSE - 2 * error
    far = abs(ratio - 1) > CLOSE + 2 * error
    coldest = INVERSE_TEMPERATURES[-3:]
    slopes = []
    for measured, se in zip(escapes.measured, escapes.error, strict=True):
        line, covariance = np.polyfit(
            coldest, np.log(measured[-3:]), 1, w=measured[-3:] / se[-3:], cov="unscaled"
        )
        slopes.append(with_error(-line[0], np.sqrt(covariance[0, 0])))
    z = abs(escapes.measured - escapes.exact) / escapes.error
    where = ", ".join(
        f"rate {RATES[k]:g} at D = {1 / INVERSE_TEMPERATURES[j]:.3g}"
        for k, j in zip(*np.nonzero(close), strict=True)
    )
    verdict = HOLDS if not far.any() else HOLDS_ONLY_WHEN if close.any() else DOES_NOT_HOLD
    return Finding(
        "Escapes follow Kramers' law",
        verdict,
        f"rates and temperatures are small ({where}). " * (verdict == HOLDS_ONLY_WHEN)
        + "Measured over Kramers' rate at the lowest D: "
        + ", ".join(
            f"{with_error(r, e)} at rate {rate:g}"
            for r, e, rate in zip(ratio[:, -1], error[:, -1], RATES, strict=True)
        )
        + f"; apparent barriers, from the three lowest D, {', '.join(slopes)} (true {BARRIER:g}). "
        f"Against the exact chain: largest |z| = {z.max():.1f}",
    )


def cooling(peak: float, steps: int) -> dict[str, fs.Schedule]:
    """Return schedules from one initial rate."""
    return {
        "constant": fs.Constant(peak),
        "exponential": fs.Exponential(peak, 0.01 ** (1 / steps)),
        "cosine": fs.Cosine(peak, steps),
        "logarithmic": fs.Function(lambda t: peak * np.log(2) / np.log(2 + 50 * t / steps)),
    }


class Cooling(NamedTuple):
    """Ways of cooling, over two seeds and the schedules from all initial rates."""

    title: str
    basin: int
    peaks: tuple[float, ...]
    result: fs.SweepResult

    def fractions(self, seed: int) -> dict[str, Array]:
        """Return the fraction that ends in the basin, with its error, by schedule over peaks."""
        ends = self.result.data.sel(basin=self.basin, seed=seed)
        found = np.array([ends["basin_final"], ends["basin_final_se"]])
        by_schedule = found.reshape(2, len(self.peaks), -1).transpose(2, 0, 1)
        return dict(zip(cooling(1.0, 1), by_schedule, strict=True))

    def change(self, one: str, other: str) -> Array:
        """Return by how much the fraction differs, of the judging seed, and its paired error."""
        sides = ({"seed": 1, "lr": lr} for lr in (one, other))
        ends = self.result.compare(*sides, "basin_final").sel(basin=self.basin)
        return np.array([ends["difference"], ends["difference_se"]])


def cool(
    title: str, landscape: fs.Landscape, basin: int, peaks: tuple[float, ...], steps: int, n: int
) -> Cooling:
    """Run all schedules from all initial rates, to choose the best of these and to judge it."""
    measures = (fs.Basins(), fs.Escape())
    study = fs.Study(landscape, fs.SGD(peaks[0]), steps, n, record=2, measures=measures)
    lr = {f"{name}, {p:g}": s for p in peaks for name, s in cooling(p, steps).items()}
    result = simulate(fs.sweep(study, {"seed": [0, 1], "optimizer.lr": lr}))
    return Cooling(title, basin, peaks, result)


def judge_cooling(places: list[Cooling], z: float) -> Finding:
    """Compare each way of cooling with the constant, all at their best rates."""
    reasons, signs = [], []
    for place in places:
        chosen, judged = place.fractions(0), place.fractions(1)
        best = {name: found[0].argmax() for name, found in chosen.items()}
        lr = {name: f"{name}, {place.peaks[k]:g}" for name, k in best.items()}
        for name in lr:
            if name != "constant":
                change, error = place.change(lr[name], lr["constant"])
                decided = abs(change) > THRESHOLD * error
                signs.append((place.title, name, np.sign(change) * decided))
        reasons.append(
            f"{place.title}: "
            + ", ".join(f"{n} {with_error(*judged[n][:, k])}" for n, k in best.items())
        )
    ahead = [f"{name} in {title}" for title, name, sign in signs if sign > 0]
    verdict = {len(signs): HOLDS, 0: DOES_NOT_HOLD}.get(len(ahead), HOLDS_ONLY_WHEN)
    return Finding(
        "Decay is annealing: cooling finds the deepest minimum more often than a constant rate",
        verdict,
        f"{', '.join(ahead)}. "
        * (verdict == HOLDS_ONLY_WHEN)
        + f"Fraction at the best initial rate. {'; '.join(reasons)}. Wells against their exact "
        f"law: largest |z| = {z:.1f}",
    )


def flow_error(rates: Array) -> Array:
    """Return how far descent without noise is from the gradient flow's loss at `TIME`."""
    x = 1 / np.sqrt(1 + (START**-2 - 1) * np.exp(-2 * TIME))
    flow = x**4 / 4 - x**2 / 2 + ACROSS / 2 * np.exp(-2 * ACROSS * TIME)
    errors = []
    for rate in rates:
        study = fs.Study(
            fs.DoubleWell(dim=2, across=ACROSS, noise=0.0, start=[START, 1.0]),
            fs.SGD(rate),
            round(TIME / rate),
            1,
            record=2,
            measures=(fs.Loss(()), fs.Escape(radius=2.0, center=-1.0)),
        )
        errors.append(abs(float(simulate(study)["loss"][-1]) - flow))
    return np.array(errors)


def judge_flow(rates: Array, errors: Array) -> Finding:
    edge = 2 / ACROSS
    order = np.polyfit(np.log(rates[:4]), np.log(errors[:4]), 1)[0]
    stable, unstable = errors[rates < edge], errors[rates > edge]
    return Finding(
        "As for a stiff differential equation, small rates follow the gradient flow, and the "
        "steepest direction sets the largest stable rate, eta h = 2",
        HOLDS if abs(order - 1) < CLOSE and unstable.min() > stable.max() else DOES_NOT_HOLD,
        f"without noise the loss at time {TIME:g} is off by a power {order:.3f} of the rate; at "
        f"eta h = {ACROSS * rates[rates < edge][-1]:.2f} by {stable[-1]:.2g}, at "
        f"{ACROSS * rates[rates > edge][0]:.2f} by {unstable[0]:.2g} (no random numbers, so no "
        f"standard errors)",
    )


def draw(
    escapes: Escapes,
    peaks: tuple[float, ...],
    wells: dict[str, Array],
    exact: dict[str, Array],
    rates: Array,
    errors: Array,
) -> plt.Figure:
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4.8))
    left.plot(INVERSE_TEMPERATURES, kramers(), ":", color="black", label="Kramers")
    for k, rate in enumerate(RATES):
        measured, error = escapes.measured[k], 2 * escapes.error[k]
        style = {"fmt": "o", "ms": 4, "color": COLOURS[k]}
        left.errorbar(INVERSE_TEMPERATURES, measured, error, **style, label=f"rate {rate:g}")
        left.plot(INVERSE_TEMPERATURES, escapes.exact[k], "--", color=COLOURS[k], linewidth=1)
    left.set(yscale="log", xlabel="inverse temperature 1/D")
    left.set_ylabel("escapes per unit of time, 1/η updates")
    left.set_title("double well (dashed: exact chain)")
    left.legend()
    for (name, found), colour in zip(wells.items(), COLOURS, strict=False):
        middle.errorbar(peaks, found[0], 2 * found[1], fmt="o", ms=4, color=colour, label=name)
        middle.plot(peaks, exact[name], "--", color=colour, linewidth=1)
    middle.set(xscale="log", ylim=(0, 1), xlabel="initial rate")
    middle.set_ylabel("fraction that ends in the deepest well")
    middle.set_xticks(peaks, [f"{peak:g}" for peak in peaks])
    middle.minorticks_off()
    middle.set_title("cooling in three wells (dashed: exact law)")
    middle.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4)
    right.loglog(rates, errors, "o", ms=4, color=COLOURS[0], label="descent")
    right.loglog(
        rates, errors[0] * rates / rates[0], "--", color=COLOURS[1], label="proportional to rate"
    )
    right.axvline(2 / ACROSS, color="black", linestyle=":", label="eta h = 2")
    right.set(xlabel="rate", ylabel="distance of the loss from the flow's")
    right.set_title(f"no noise, time {TIME:g}, curvature {ACROSS:g} across")
    right.legend()
    figure.suptitle("Temperature, annealing and stiffness (bars: ± 2 standard errors)")
    return figure


def study(quick: bool) -> Outcome:
    escapes = escape_rates(*((2000, 10_000) if quick else (8000, 40_000)))
    steps, n = (896, 1000) if quick else (2016, 4000)
    peaks = (0.2, 0.35, 0.6, 1.0) if quick else (0.15, 0.2, 0.25, 0.35, 0.5, 0.7, 1.0, 1.4)
    wells = cool("three wells", WELLS, DEEPEST, peaks, steps, n)
    exact = {
        name: np.array(
            [exact_law(cooling(peak, steps)[name].values(steps))[0][-1, DEEPEST] for peak in peaks]
        )
        for name in cooling(1.0, 1)
    }
    z = max(
        np.max(
            abs(found[0] - exact[name])[told := n * np.minimum(exact[name], 1 - exact[name]) >= 5]
            / np.sqrt(exact[name] * (1 - exact[name]) / n)[told],
            initial=0.0,
        )
        for seed in (0, 1)
        for name, found in wells.fractions(seed).items()
    )
    minima = FIELD.minima().locations
    landscape = FIELD.replace(start=minima[len(minima) // 2])
    field_peaks = (0.06, 0.12, 0.2) if quick else (0.04, 0.06, 0.09, 0.13, 0.18, 0.24)
    field = cool("random field", landscape, 0, field_peaks, steps, n // 2)
    rates = np.array([0.005, 0.01, 0.02, 0.04, 0.08, 0.095, 0.105, 0.125])
    errors = flow_error(rates)
    table = [["landscape", "initial rate", *exact]]
    for place in (wells, field):
        found = place.fractions(1).values()
        for k, peak in enumerate(place.peaks):
            table.append([place.title, f"{peak:g}", *(with_error(*f[:, k]) for f in found)])
    findings = [
        judge_temperature(escapes),
        judge_kramers(escapes),
        judge_cooling([wells, field], z),
        judge_flow(rates, errors),
    ]
    return Outcome(draw(escapes, peaks, wells.fractions(1), exact, rates, errors), table, findings)


if __name__ == "__main__":
    main(study)
